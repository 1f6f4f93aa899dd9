import type { RequestListener, Server } from 'node:http'
import Module from 'node:module'
import { basename } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FetchHandler, ServerRequest } from 'srvx'
import { http } from '../http/node-http.ts'
import type { Traffic } from '../http/traffic.ts'
import type { BootNote } from '../ipc/messages.ts'
import { printableLines } from '../redaction/printable.ts'
import { errorText } from '../redaction/redaction.ts'
import { after, afterIo } from '../resilience/clock.ts'
import { formatDuration, type Milliseconds, ms } from '../resilience/duration.ts'
import { sendToArbiter } from './arbiter-channel.ts'
import { whyNoHandler } from './request-handler.ts'

/** Closes the app when the worker exits, if its framework supports that. */
export type CloseApp = () => Promise<unknown>

interface Address {
  readonly port: number
  readonly host: string
}

interface EntrySettings extends Address {
  readonly bootTimeout: Milliseconds
}

interface EntryWorker {
  readonly traffic: Traffic
  /** Logs it when the worker is ready. */
  note(note: BootNote): void
}

/** The longest wait for an app to listen whose code seems to. */
const MAX_LISTEN_WAIT = ms(30_000)

interface FetchEntry {
  fetch(
    request: ServerRequest,
    env: { readonly incoming: unknown; readonly outgoing: unknown },
  ): Response | Promise<Response>
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
 * (such as an Express app), an object with `fetch` (Hono), a Koa app or a Fastify instance. If its
 * code calls `listen`, the export is served only when the process would exit without having
 * listened, or has not after half of `bootTimeout`, at most 30 s.
 *
 * @returns closes the app; null if it cannot be closed
 * @throws what the app throws while it loads
 */
export async function loadEntry(
  entry: string,
  settings: EntrySettings,
  { traffic, note }: EntryWorker,
): Promise<CloseApp | null> {
  Module.runMain()
  // `runMain` queues the entry as the main module. Once its load has begun, the import below waits
  // for the same load.
  await turn()
  await turn()
  const module: { default?: unknown } = await import(pathToFileURL(entry).href)
  let exported = module.default
  // CommonJS that is compiled from TypeScript has its default export in `module.exports.default`.
  if (isObject(exported) && exported.__esModule === true) exported = exported.default
  await turn()
  const serve = serverOf(exported, settings, traffic)
  if (traffic.listenCalls === 0) {
    if (serve === null) explainUnserved(exported, traffic)
    else if (await willListen(entry)) {
      const wait = ms(Math.min(settings.bootTimeout / 2, MAX_LISTEN_WAIT))
      serveIfSilent(traffic, serve, wait, () =>
        note({
          event: 'export-served',
          message: `${basename(entry)} did not listen within ${formatDuration(wait)}, although its code calls listen; serving its default export`,
        }),
      )
    } else if (traffic.listenCalls === 0) await serve()
  }
  return isFastify(exported) ? () => exported.close() : null
}

/**
 * Serves the export of an app that does not listen although its code seems to: the call is for
 * something else, or under a condition that is not true here. If it listens later after all, on the
 * same port, the server of the export makes room.
 */
function serveIfSilent(traffic: Traffic, serve: () => Promise<void>, wait: Milliseconds, onWaited: () => void): void {
  const serveOnce = (): void => {
    cancel()
    process.off('beforeExit', serveOnce)
    if (traffic.listenCalls === 0) void serve()
  }
  const onTimeout = (): void => {
    if (traffic.listenCalls === 0) onWaited()
    serveOnce()
  }
  const cancel = after(wait, onTimeout, { keepAlive: false })
  process.once('beforeExit', serveOnce)
}

/** Listens with what the app exports; null if that cannot be served. */
function serverOf(exported: unknown, { port, host }: Address, traffic: Traffic): (() => Promise<void>) | null {
  if (isFastify(exported)) {
    return async () => {
      await exported.ready()
      await turn()
      if (traffic.listenCalls === 0) await exported.listen({ port, host })
    }
  }
  const makeListener = requestListener(exported)
  if (makeListener === null) return null
  return async () => {
    const server = http.createServer(await makeListener())
    traffic.ofExport = server
    server.listen(port, host)
  }
}

function requestListener(exported: unknown): (() => RequestListener | Promise<RequestListener>) | null {
  if (!isObject(exported)) return null
  const { callback, use, fetch } = exported
  if (typeof callback === 'function' && typeof use === 'function') {
    return () => callback.call(exported) as RequestListener
  }
  if (typeof fetch === 'function') return () => fetchListener(exported as unknown as FetchEntry)
  if (typeof exported !== 'function' || whyNoHandler(exported) !== null) return null
  return () => exported as RequestListener
}

/**
 * The second argument of `fetch` has what `@hono/node-server` gives: Hono calls it `c.env`, and
 * reads the address of the client from it.
 */
async function fetchListener(entry: FetchEntry): Promise<RequestListener> {
  const { toNodeHandler } = await import('srvx/node')
  const fetch = (request: ServerRequest): Response | Promise<Response> => {
    const { req, res } = request.runtime?.node ?? {}
    try {
      const response = entry.fetch(request, { incoming: req, outgoing: res })
      return response instanceof Promise ? response.catch(answerError) : response
    } catch (error) {
      return answerError(error)
    }
  }
  return toNodeHandler(fetch as FetchHandler) as RequestListener
}

/** As the servers of such entries do, instead of ending the process. */
function answerError(error: unknown): Response {
  console.error(printableLines(errorText(error)))
  return new Response(null, { status: 500 })
}

/** Kept apart, so that apps that listen at once do not load what reads their sources. */
async function willListen(entry: string): Promise<boolean> {
  const { mentionsListening } = await import('./entry-source.ts')
  return await mentionsListening(entry)
}

/** An app that exports something else and does not listen exits, as under `node`. */
function explainUnserved(exported: unknown, traffic: Traffic): void {
  if (typeof exported !== 'function') return
  const what = whyNoHandler(exported)
  process.once('beforeExit', () => {
    if (traffic.listenCalls > 0) return
    const message = `the default export is ${what}, not a request handler, and nothing listens; export a handler, or call listen`
    sendToArbiter({ type: 'boot-failed', error: { name: 'Error', message, stack: `Error: ${message}` } })
  })
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
