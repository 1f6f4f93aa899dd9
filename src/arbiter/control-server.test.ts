import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { noSettings } from '../../test/settings-samples.ts'
import { aStatus, aWorker } from '../../test/status-samples.ts'
import type { Status } from '../diagnostics/status.ts'
import { ms } from '../resilience/duration.ts'
import type { ArbiterControl, CommandOutcome } from './arbiter-control.ts'
import { formatProgress } from './control-protocol.ts'
import { type ControlServer, type ControlServerOptions, startControlServer } from './control-server.ts'

let directory = ''
let path = ''
let server: ControlServer | null = null
const sockets: Socket[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'punctual-control-'))
  path = join(directory, 'control.sock')
})
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await server?.close()
  server = null
  rmSync(directory, { recursive: true, force: true })
})

const control = (given: Partial<ArbiterControl> = {}): ArbiterControl => ({
  metrics: () => new Map(),
  status: () => aStatus(),
  reload: async () => ({ ok: true, message: 'generation 2 serves' }),
  scale: async (change) => ({ ok: true, message: JSON.stringify(change) }),
  stop: async () => ({ ok: true, message: 'stopping' }),
  incidents: async () => [],
  incident: async () => undefined,
  settings: noSettings(),
  ...given,
})

async function start(given: Partial<ArbiterControl> = {}, options: ControlServerOptions = {}): Promise<void> {
  server = await startControlServer(path, control(given), options)
}

interface Client {
  readonly socket: Socket
  send(text: string): void
  /** The next line; undefined once the server has closed the connection. */
  answer(): Promise<Record<string, unknown> | undefined>
}

async function client(): Promise<Client> {
  const socket = connect(path)
  sockets.push(socket)
  await once(socket, 'connect')
  const lines = createInterface(socket)[Symbol.asyncIterator]()
  return {
    socket,
    send: (text) => void socket.write(text),
    answer: async () => {
      const { value, done } = await lines.next()
      return done === true ? undefined : (JSON.parse(value) as Record<string, unknown>)
    },
  }
}

const request = (value: unknown): string => `${JSON.stringify(value)}\n`
const code = (answer: Record<string, unknown> | undefined): unknown =>
  (answer?.error as Record<string, unknown> | undefined)?.code

test('the socket can be opened by its user only', async () => {
  const mask = process.umask()
  await start()
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.equal(process.umask(), mask)
})

test('every command is answered with its id', async () => {
  await start({ incidents: async () => [], incident: async () => undefined })
  const { send, answer } = await client()
  send(
    request({ id: 1, command: 'status' }) + request({ id: 2, command: 'reload' }) + request({ id: 3, command: 'stop' }),
  )
  assert.deepEqual(await answer(), { id: 1, ok: true, result: aStatus() })
  assert.deepEqual(await answer(), { id: 2, ok: true, result: { message: 'generation 2 serves' } })
  assert.deepEqual(await answer(), { id: 3, ok: true, result: { message: 'stopping' } })
  send(request({ id: 4, command: 'scale', change: { by: -1 } }))
  assert.deepEqual(await answer(), { id: 4, ok: true, result: { message: '{"by":-1}' } })
  send(request({ id: 5, command: 'incidents' }) + request({ id: 6, command: 'incident', incident: 'x' }))
  assert.deepEqual(await answer(), { id: 5, ok: true, result: [] })
  assert.deepEqual(await answer(), { id: 6, ok: true, result: null })
})

test('a command that is refused, or throws, is answered with its code and message', async () => {
  await start({
    reload: async () => ({ ok: false, code: 'PUNCTUAL_RELOAD_FAILED', message: 'it did not boot' }),
    stop: async () => {
      throw new Error('odd')
    },
  })
  const { send, answer } = await client()
  send(request({ id: 1, command: 'reload' }))
  assert.deepEqual(await answer(), {
    id: 1,
    ok: false,
    error: { code: 'PUNCTUAL_RELOAD_FAILED', message: 'it did not boot' },
  })
  send(request({ id: 2, command: 'stop' }))
  assert.deepEqual(await answer(), { id: 2, ok: false, error: { code: 'PUNCTUAL_COMMAND_REFUSED', message: 'odd' } })
})

test('a long command sends its progress', async () => {
  const { promise, resolve } = Promise.withResolvers<CommandOutcome>()
  await start({ reload: () => promise })
  const { send, answer } = await client()
  send(request({ id: 1, command: 'reload' }))
  assert.deepEqual(await answer(), { id: 1, progress: formatProgress(aStatus()) })
  resolve({ ok: true, message: 'done' })
  assert.deepEqual(await answer(), { id: 1, ok: true, result: { message: 'done' } })
})

describe('a malformed request is answered with an error and ends the connection, not others', () => {
  const malformed: readonly (readonly [string, string])[] = [
    ['not JSON', 'GET / HTTP/1.1\r\n\r\n'],
    ['not an object', '[]\n'],
    ['null', 'null\n'],
    ['no id', request({ command: 'status' })],
    ['no command', request({ id: 1 })],
    ['an unknown command', request({ id: 1, command: 'format-disk' })],
    ['a command of the prototype', request({ id: 1, command: 'constructor' })],
    ['scale to nothing', request({ id: 1, command: 'scale', change: { to: 0 } })],
    ['scale to a word', request({ id: 1, command: 'scale', change: { to: '3' } })],
    ['scale to a million', request({ id: 1, command: 'scale', change: { to: 1e6 } })],
    ['scale both ways', request({ id: 1, command: 'scale', change: { to: 1, by: 1 } })],
    ['an incident without id', request({ id: 1, command: 'incident' })],
    ['a line without end', 'x'.repeat(65 * 1024)],
  ]
  for (const [what, text] of malformed) {
    test(what, async () => {
      await start()
      const [bad, good] = [await client(), await client()]
      bad.send(text)
      assert.equal(code(await bad.answer()), 'PUNCTUAL_USAGE')
      good.send(request({ id: 9, command: 'status' }))
      assert.equal((await good.answer())?.id, 9)
    })
  }

  test('too many requests at once', async () => {
    const { promise, resolve } = Promise.withResolvers<CommandOutcome>()
    await start({ stop: () => promise })
    const { send, answer } = await client()
    for (let id = 0; id < 40; id += 1) send(request({ id, command: 'stop' }))
    assert.equal(code(await answer()), 'PUNCTUAL_USAGE')
    resolve({ ok: true, message: 'done' })
  })
})

test('non-ASCII text that arrives in chunks is decoded correctly', async () => {
  await start({ incident: async (id) => ({ id }) as never })
  const { socket, answer } = await client()
  const bytes = Buffer.from(request({ id: 1, command: 'incident', incident: 'é€😀' }))
  socket.setNoDelay?.(true)
  for (const byte of bytes) {
    socket.write(Buffer.of(byte))
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.deepEqual(await answer(), { id: 1, ok: true, result: { id: 'é€😀' } })
})

test('one client above the maximum closes the longest silent one', async () => {
  await start({}, { clients: 2 })
  const [first, second] = [await client(), await client()]
  const closed = once(second.socket, 'close')
  first.send(request({ id: 1, command: 'status' }))
  assert.equal((await first.answer())?.ok, true)
  const third = await client()
  third.send(request({ id: 1, command: 'status' }))
  assert.equal((await third.answer())?.ok, true)
  await closed
  first.send(request({ id: 2, command: 'status' }))
  assert.equal((await first.answer())?.ok, true)
})

test('a client above the maximum is refused with a reason while all others wait for a command', async () => {
  const { promise, resolve } = Promise.withResolvers<CommandOutcome>()
  const asked = Promise.withResolvers<void>()
  await start(
    {
      reload: () => {
        asked.resolve()
        return promise
      },
    },
    { clients: 1 },
  )
  const first = await client()
  first.send(request({ id: 1, command: 'reload' }))
  await asked.promise
  const second = await client()
  assert.equal(code(await second.answer()), 'PUNCTUAL_COMMAND_REFUSED')
  resolve({ ok: true, message: 'done' })
  assert.equal((await first.answer())?.ok, true)
})

test('a client that does not read its answers gets no more of them made', async () => {
  let asked = 0
  const status = (): Status => {
    asked += 1
    return aStatus({ name: 'x'.repeat(500_000) })
  }
  await start({ status })
  const { socket } = await client()
  socket.pause()
  const closed = once(socket, 'close')
  let sent = 0
  while (!socket.destroyed && sent < 2_000) {
    socket.write(request({ id: sent, command: 'status' }))
    sent += 1
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.ok(asked < 30, `${asked} of ${sent} executed`)
  socket.resume()
  await closed
})

test('commands of clients that disconnect are limited', async () => {
  const { promise, resolve } = Promise.withResolvers<CommandOutcome>()
  let asked = 0
  await start({
    reload: () => {
      asked += 1
      return promise
    },
  })
  for (let id = 1; id <= 70; id += 1) {
    const { socket, send } = await client()
    const before = asked
    send(request({ id, command: 'reload' }))
    while (asked === before && asked < 64) await new Promise((next) => setImmediate(next))
    if (asked < 64) socket.destroy()
  }
  assert.equal(asked, 64)
  const { send, answer } = await client()
  send(request({ id: 71, command: 'reload' }))
  assert.equal(code(await answer()), 'PUNCTUAL_COMMAND_REFUSED')
  resolve({ ok: true, message: 'done' })
})

test('an idle client is disconnected', async () => {
  await start({}, { idleTimeout: ms(30) })
  const { answer } = await client()
  assert.equal(await answer(), undefined)
})

test('a client that disconnects during a command does not affect others', async () => {
  const { promise, resolve } = Promise.withResolvers<CommandOutcome>()
  const asked = Promise.withResolvers<void>()
  await start({
    reload: () => {
      asked.resolve()
      return promise
    },
  })
  const first = await client()
  first.send(request({ id: 1, command: 'reload' }))
  await asked.promise
  first.socket.destroy()
  resolve({ ok: true, message: 'done' })
  const second = await client()
  second.send(request({ id: 2, command: 'status' }))
  assert.equal((await second.answer())?.id, 2)
})

test('the leftover socket of a killed arbiter is replaced, and close removes the socket', async () => {
  writeFileSync(path, '')
  await start()
  await client()
  await server?.close()
  server = null
  assert.equal(existsSync(path), false)
})

test('a missing directory is an error with a code', async () => {
  await assert.rejects(startControlServer(join(directory, 'missing', 'control.sock'), control()), {
    code: 'PUNCTUAL_STATE_DIR_UNWRITABLE',
  })
})

test('progress shows both generations of a reload, and the remaining workers of a stop', () => {
  const workers = [
    aWorker({ id: 1, generation: 1, state: 'draining' }),
    aWorker({ id: 2, generation: 1, state: 'draining' }),
    aWorker({ id: 3, generation: 2, state: 'ready' }),
    aWorker({ id: 4, generation: 2, state: 'booting' }),
  ]
  assert.equal(
    formatProgress(aStatus({ phase: 'reloading', workers })),
    'generation 2: 1 of 2 workers ready, 1 booting; 2 old, 2 draining',
  )
  assert.equal(
    formatProgress(aStatus({ phase: 'stopping', workers: [aWorker({ inFlight: 3 })] })),
    '1 worker draining, 3 requests in flight',
  )
  assert.equal(
    formatProgress(aStatus({ phase: 'stopping', workers: [aWorker({ inFlight: 1 }), aWorker({ inFlight: 0 })] })),
    '2 workers draining, 1 request in flight',
  )
  assert.equal(formatProgress(aStatus({ phase: 'stopping', workers: [] })), 'all workers have exited')
})
