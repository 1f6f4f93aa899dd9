import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { noSettings } from '../../test/settings-samples.ts'
import { aStatus } from '../../test/status-samples.ts'
import type { ArbiterControl, CommandOutcome } from '../arbiter/arbiter-control.ts'
import { type ControlServer, startControlServer } from '../arbiter/control-server.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import { ms } from '../resilience/duration.ts'
import { askArbiter } from './control-client.ts'
import { parseScale } from './scale-command.ts'

let stateDir = ''
let server: ControlServer | null = null
let other: Server | null = null
const sockets = new Set<Socket>()

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'punctual-client-'))
})
afterEach(async () => {
  await server?.close()
  for (const socket of sockets) socket.destroy()
  await new Promise<void>((resolve) => (other === null ? resolve() : other.close(() => resolve())))
  server = null
  other = null
  rmSync(stateDir, { recursive: true, force: true })
})

const path = (): string => join(stateDir, 'control.sock')

async function start(given: Partial<ArbiterControl> = {}): Promise<void> {
  server = await startControlServer(path(), {
    metrics: () => new Map(),
    status: () => aStatus(),
    reload: async () => ({ ok: true, message: 'generation 2 serves' }),
    scale: async () => ({ ok: true, message: '3 workers wanted' }),
    stop: async () => ({ ok: true, message: 'stopping' }),
    incidents: async () => [],
    incident: async () => undefined,
    settings: noSettings(),
    ...given,
  })
}

/** Something that listens in the arbiter's place. */
function pretend(talk: (socket: Socket) => void): Promise<void> {
  other = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).resume()
    talk(socket)
  })
  return new Promise((resolve) => other?.listen(path(), resolve))
}

const fails =
  (code: string, details: object = {}) =>
  (error: unknown): true => {
    assert.ok(error instanceof PunctualError, String(error))
    assert.equal(error.code, code)
    assert.equal(error.exitCode, 1)
    assert.deepEqual(error.details, details)
    return true
  }

test('a command resolves with its answer', async () => {
  await start()
  assert.deepEqual(await askArbiter(stateDir, { command: 'status' }), aStatus())
  assert.deepEqual(await askArbiter(stateDir, { command: 'scale', change: { to: 3 } }), { message: '3 workers wanted' })
})

test('a refusal rejects with its code, message and details', async () => {
  await start({ reload: async () => ({ ok: false, code: 'PUNCTUAL_RELOAD_FAILED', message: 'it did not boot' }) })
  await assert.rejects(askArbiter(stateDir, { command: 'reload' }), {
    code: 'PUNCTUAL_RELOAD_FAILED',
    message: 'it did not boot',
  })
})

test('faults of settings keep their details', async () => {
  const details = { faults: [{ setting: 'port', kind: 'not-changeable' }] }
  const set = (): never => {
    throw new PunctualError('PUNCTUAL_COMMAND_REFUSED', 'no', { details })
  }
  await start({ settings: { ...noSettings(), set } })
  await assert.rejects(
    askArbiter(stateDir, { command: 'set', values: { port: '1' }, force: false }),
    fails('PUNCTUAL_COMMAND_REFUSED', details),
  )
})

test('progress is reported when it changes', async () => {
  const { promise, resolve } = Promise.withResolvers<CommandOutcome>()
  await start({ reload: () => promise })
  const received: string[] = []
  const outcome = askArbiter(
    stateDir,
    { command: 'reload' },
    { onProgress: (progress) => void received.push(progress) },
  )
  while (received.length === 0) await new Promise((next) => setTimeout(next, 10))
  resolve({ ok: true, message: 'done' })
  assert.deepEqual(await outcome, { message: 'done' })
  assert.deepEqual(received, ['generation 1: 2 of 2 workers ready'])
})

test('without an arbiter the error names the state directory', async () => {
  const none = fails('PUNCTUAL_ARBITER_NOT_RUNNING', { stateDir, reason: 'none' })
  await assert.rejects(askArbiter(stateDir, { command: 'status' }), none)
  writeFileSync(path(), '')
  await assert.rejects(askArbiter(stateDir, { command: 'status' }), none, 'a file that is no socket')
  const nowhere = join(stateDir, 'nowhere')
  await assert.rejects(
    askArbiter(nowhere, { command: 'status' }),
    fails('PUNCTUAL_ARBITER_NOT_RUNNING', { stateDir: nowhere, reason: 'none' }),
  )
})

test('a silent arbiter times out', async () => {
  await pretend(() => {})
  await assert.rejects(
    askArbiter(stateDir, { command: 'status' }, { silenceTimeout: ms(50) }),
    fails('PUNCTUAL_COMMAND_TIMED_OUT', { command: 'status', reason: 'silent', waitedMs: 50 }),
  )
})

test('an arbiter that only sends heartbeats times out', async () => {
  await pretend((socket) => {
    const sending = setInterval(() => socket.write('{"id":1,"progress":"busy"}\n'), 10)
    socket.on('close', () => clearInterval(sending))
  })
  await assert.rejects(
    askArbiter(stateDir, { command: 'reload' }, { silenceTimeout: ms(5_000), timeout: ms(200) }),
    fails('PUNCTUAL_COMMAND_TIMED_OUT', { command: 'reload', reason: 'unfinished', waitedMs: 200 }),
  )
})

test('an exit without an answer and an invalid answer are errors', async () => {
  await pretend((socket) => socket.end())
  await assert.rejects(
    askArbiter(stateDir, { command: 'stop' }),
    fails('PUNCTUAL_ARBITER_NOT_RUNNING', { stateDir, reason: 'ended' }),
  )
  await new Promise<void>((resolve) => other?.close(() => resolve()))
  for (const nonsense of ['HTTP/1.1 400\r\n', 'null\n', '7\n', '{"ok":false}\n']) {
    await pretend((socket) => socket.end(nonsense))
    await assert.rejects(
      askArbiter(stateDir, { command: 'stop' }),
      fails('PUNCTUAL_COMMAND_REFUSED', { stateDir, reason: 'not-an-arbiter' }),
    )
    await new Promise<void>((resolve) => other?.close(() => resolve()))
  }
})

test('scale accepts a number, an increase and a decrease', () => {
  assert.deepEqual(parseScale('3'), { to: 3 })
  assert.deepEqual(parseScale('+2'), { by: 2 })
  assert.deepEqual(parseScale('-1'), { by: -1 })
  for (const wanted of ['0', '+0', '-0', '', 'two', '1.5', '1e3', '--1', '+-1', '99999', ' 1', 'NaN', 'Infinity']) {
    assert.throws(() => parseScale(wanted), { code: 'PUNCTUAL_USAGE', exitCode: 2 }, wanted)
  }
})
