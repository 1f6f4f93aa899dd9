import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { after, afterEach, before, describe, it } from 'node:test'
import { Traffic } from '../http/traffic.ts'
import { patchServers } from '../patches/http-server.ts'
import { resolveSettings } from '../settings/resolve.ts'
import type { Settings } from '../settings/settings.ts'
import { type AppShutdown, Drain, type DrainResult } from './drain.ts'

const LIMIT = 20_000

const traffic = new Traffic()
const sockets: net.Socket[] = []
let server: http.Server
let isDraining = false

before(() => patchServers(traffic))

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
  server.closeAllConnections()
  traffic.closing = false
  isDraining = false
  traffic.onEnded = null
  traffic.onListening = () => {}
})

after(() => server.close())

function settings(flags: Record<string, string> = {}): Settings {
  return resolveSettings({ flags, env: {}, cwd: '/srv', isTerminal: false }).settings
}

/** `/hold` is answered only when the worker accepts no more. */
async function serve(keepAliveTimeout: number): Promise<void> {
  server = http.createServer({ keepAliveTimeout }, (request, response) => {
    if (request.url !== '/hold') return response.end('ok')
    const timer = setInterval(() => {
      if (!isDraining) return
      clearInterval(timer)
      response.end('held')
    }, 5)
    return undefined
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
}

interface Client {
  /** Sends a request and gives the head of its answer. */
  ask(target: string): Promise<string>
  /** Resolves when the server has closed it, in an orderly way. */
  readonly ended: Promise<unknown>
}

async function connect(): Promise<Client> {
  const socket = net.connect((server.address() as AddressInfo).port, '127.0.0.1')
  sockets.push(socket)
  const ended = once(socket, 'end', { signal: AbortSignal.timeout(LIMIT) })
  ended.catch(() => {})
  await once(socket, 'connect')
  return {
    ended,
    ask: async (target) => {
      socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
      const [answer] = (await once(socket, 'data', { signal: AbortSignal.timeout(LIMIT) })) as [Buffer]
      return String(answer)
    },
  }
}

const NO_SHUTDOWN: AppShutdown = { exists: false, start: async () => {} }

function leave(flags: Record<string, string> = {}, keepIdle = true): { leaving: Drain; done: Promise<DrainResult> } {
  let finish: (farewell: DrainResult) => void = () => {}
  const done = new Promise<DrainResult>((resolve) => {
    finish = resolve
  })
  const leaving = new Drain(traffic, settings(flags), keepIdle, NO_SHUTDOWN, finish)
  isDraining = true
  return { leaving, done }
}

describe('Drain', () => {
  it('an idle connection may send one more request; its answer closes the connection', async () => {
    await serve(60_000)
    const client = await connect()
    assert.match(await client.ask('/'), /Connection: keep-alive/)
    const { done } = leave()
    assert.match(await client.ask('/'), /Connection: close/)
    await client.ended
    assert.deepEqual(await done, { answered: 1, aborted: 0, closedUpgrades: 0 })
  })

  it('a request in flight is answered, and its connection is closed', async () => {
    await serve(60_000)
    const client = await connect()
    const answer = client.ask('/hold')
    await once(server, 'request')
    const { done } = leave()
    assert.match(await answer, /Connection: close[\s\S]*held/)
    assert.equal((await done).answered, 1)
  })

  it('idle connections close when their keep-alive time is over, with or without a request', async () => {
    await serve(200)
    const used = await connect()
    await used.ask('/')
    const unused = await connect()
    // It is accepted: the server has answered a later client.
    await (await connect()).ask('/')
    const { done } = leave()
    await Promise.all([used.ended, unused.ended])
    assert.deepEqual(await done, { answered: 0, aborted: 0, closedUpgrades: 0 })
  })

  it('closeIdle closes connections that have been idle for half a second', async () => {
    await serve(60_000)
    const client = await connect()
    await client.ask('/')
    const { leaving, done } = leave()
    leaving.closeIdle()
    await client.ended
    assert.deepEqual(await done, { answered: 0, aborted: 0, closedUpgrades: 0 })
  })

  it('idle connections close at drainTimeout', async () => {
    await serve(60_000)
    const client = await connect()
    await client.ask('/')
    const { done } = leave({
      drainTimeout: '100ms',
      requestTimeout: '100ms',
      upgradeGrace: '50ms',
      stallAction: 'report',
    })
    await client.ended
    assert.equal((await done).aborted, 0)
  })
})
