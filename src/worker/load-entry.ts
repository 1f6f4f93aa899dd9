import type { RequestListener, Server } from 'node:http'
import Module from 'node:module'
import { pathToFileURL } from 'node:url'
import type { FetchHandler } from 'srvx'
import { http } from '../http/node-http.ts'
import type { Traffic } from '../http/traffic.ts'
import { afterIo } from '../resilience/clock.ts'

/** Closes the app when the worker exits, if its framework supports that. */
export type CloseApp = () => Promise<unknown>

interface Address {
  readonly port: number
  readonly host: string
}

interface FastifyLike {
  readonly server: Server
  ready(): PromiseLike<unknown>
  listen(address: Address): Promise<unknown>
  close(): Promise<unknown>
}

/**
 * Loads the app as `node <entry>` does, including `require.main`, `import.meta.main` and
 * `process.argv`. Unless the app listens by itself, serves its default export: a request handler
 * (such as an Express app), an object with `fetch` (Hono), a Koa app or a Fastify instance.
 *
 * @returns closes the app; null if it cannot be closed
 * @throws what the app throws while it loads
 */
export async function loadEntry(entry: string, address: Address, traffic: Traffic): Promise<CloseApp | null> {
  Module.runMain()
  // `runMain` queues the entry as the main module. Once its load has begun, the import below waits
  // for the same load.
  await turn()
  await turn()
  const module: { default?: unknown } = await import(pathToFileURL(entry).href)
  let exported = module.default
  // CommonJS that is compiled from TypeScript has its default export in `module.exports.default`.
  if (isObject(exported) && exported.__esModule === true) exported = exported.default
  return await serve(exported, address, traffic)
}

async function serve(exported: unknown, address: Address, traffic: Traffic): Promise<CloseApp | null> {
  if (isFastify(exported)) {
    await exported.ready()
    await turn()
    if (traffic.listenCalls === 0) await exported.listen(address)
    return () => exported.close()
  }
  if (traffic.listenCalls > 0) return null
  const handler = await requestListener(exported)
  if (handler !== null) http.createServer(handler).listen(address.port, address.host)
  return null
}

async function requestListener(exported: unknown): Promise<RequestListener | null> {
  if (isObject(exported) && typeof exported.callback === 'function' && typeof exported.use === 'function') {
    return exported.callback() as RequestListener
  }
  if (isObject(exported) && typeof exported.fetch === 'function') {
    const { toNodeHandler } = await import('srvx/node')
    const fetch = exported.fetch as FetchHandler
    return toNodeHandler((request) => fetch.call(exported, request)) as RequestListener
  }
  return typeof exported === 'function' ? (exported as RequestListener) : null
}

function isFastify(value: unknown): value is FastifyLike {
  return (
    isObject(value) &&
    value.server instanceof http.Server &&
    ['ready', 'listen', 'close', 'inject'].every((name) => typeof value[name] === 'function')
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return (typeof value === 'object' || typeof value === 'function') && value !== null
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    afterIo(resolve)
  })
}
