import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { createServiceManager, type ServiceManager } from '../../src/arbiter/service-manager.ts'
import type { LogFields } from '../../src/diagnostics/log.ts'
import { ms } from '../../src/resilience/duration.ts'

/** Acts as systemd: prints each datagram as one JSON line, and ignores descriptors. */
const RECEIVER = `
import json, socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
print(json.dumps("bound"), flush=True)
while True:
    print(json.dumps(receiver.recv(65536).decode()), flush=True)
`
const LIMIT = ms(10_000)
const MISSING = ['python3', 'systemd-notify'].filter((program) => {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' })
    return false
  } catch {
    return true
  }
})
// In CI a missing program is a failure.
const skip = MISSING.length > 0 && process.env.CI !== 'true' ? `needs ${MISSING.join(' and ')}` : false

let directory = ''
let path = ''
let receiver: ChildProcess | null = null
let received: string[] = []
let manager: ServiceManager | null = null
let logged: LogFields[] = []
let environmentPath: string | undefined

const log = { warn: (fields: LogFields): void => void logged.push(fields) }

beforeEach(() => {
  environmentPath = process.env.PATH
  directory = mkdtempSync(join(tmpdir(), 'punctual-notify-'))
  path = join(directory, 'notify')
  received = []
  logged = []
})
afterEach(async () => {
  process.env.PATH = environmentPath
  await manager?.close(LIMIT)
  manager = null
  if (receiver !== null) {
    receiver.kill('SIGKILL')
    await once(receiver, 'exit')
    receiver = null
  }
  rmSync(directory, { recursive: true, force: true })
})

async function listen(): Promise<void> {
  receiver = spawn('python3', ['-c', RECEIVER, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  receiver.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    const lines = text.split('\n')
    text = lines.pop() ?? ''
    received.push(...lines.map((line) => JSON.parse(line) as string))
  })
  await eventually(() => received.shift() === 'bound')
}

async function eventually(holds: () => boolean): Promise<void> {
  for (let waited = 0; !holds(); waited += 10) {
    assert.ok(
      waited < 15_000,
      `${holds} within 15 s; received ${JSON.stringify(received)}, logged ${JSON.stringify(logged)}`,
    )
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** The messages without the barriers of systemd-notify. */
const messages = (): string[] =>
  received.map((message) => message.trim()).filter((message) => !message.startsWith('BARRIER='))

test('systemd is notified of ready, reloading and stopping in order, with the status', { skip }, async () => {
  await listen()
  manager = createServiceManager({ env: { NOTIFY_SOCKET: path }, log })
  manager.status('generation 1:  2 of 2\nworkers ready')
  manager.ready()
  manager.reloading()
  manager.ready()
  manager.stopping()
  await eventually(() => messages().some((message) => message.includes('STOPPING=1')))
  const all = messages().join('\n')
  const order = [...all.matchAll(/^(READY|RELOADING|STOPPING)=1$/gm)].map((match) => match[1])
  assert.deepEqual(order, ['READY', 'RELOADING', 'READY', 'STOPPING'])
  assert.match(all, /^STATUS=generation 1: 2 of 2 workers ready$/m)
  const reload = messages().find((message) => message.includes('RELOADING=1')) ?? ''
  const [, at = ''] = /^MONOTONIC_USEC=(\d+)$/m.exec(reload) ?? []
  const now = Number(process.hrtime.bigint() / 1_000n)
  assert.ok(Number(at) > now - 60e6 && Number(at) <= now, 'the monotonic clock of the machine, in microseconds')
  assert.deepEqual(logged, [])
})

test('of many status texts only the latest must arrive', { skip }, async () => {
  await listen()
  manager = createServiceManager({ env: { NOTIFY_SOCKET: path }, log })
  for (let index = 1; index <= 200; index += 1) manager.status(`step ${index}`)
  await eventually(() => messages().includes('STATUS=step 200'))
  assert.ok(messages().length < 10)
})

test('the watchdog is pinged while the event loop runs, and not for another process', { skip }, async () => {
  await listen()
  manager = createServiceManager({
    env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: '400000', WATCHDOG_PID: String(process.pid) },
    log,
  })
  await eventually(() => messages().filter((message) => message === 'WATCHDOG=1').length >= 3)
  await manager.close(LIMIT)
  received = []
  manager = createServiceManager({ env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: '200000', WATCHDOG_PID: '1' }, log })
  manager.ready()
  await eventually(() => messages().includes('READY=1'))
  assert.ok(!received.some((message) => message.includes('WATCHDOG')))
})

test('systemd’s variables are removed from the environment, so that no worker inherits them', () => {
  const env: Record<string, string | undefined> = {
    NOTIFY_SOCKET: path,
    WATCHDOG_USEC: '60000000',
    WATCHDOG_PID: '1',
    HOME: '/',
  }
  manager = createServiceManager({ env, log })
  assert.deepEqual(env, { HOME: '/' })
})

test('without NOTIFY_SOCKET nothing is sent', async () => {
  process.env.PATH = directory
  manager = createServiceManager({ env: { WATCHDOG_USEC: '200000' }, log })
  manager.status('x')
  manager.ready()
  manager.reloading()
  manager.stopping()
  await manager.close(LIMIT)
  assert.deepEqual(logged, [])
})

test('a missing systemd-notify is logged once', async () => {
  process.env.PATH = directory
  manager = createServiceManager({ env: { NOTIFY_SOCKET: path }, log })
  manager.ready()
  manager.stopping()
  await manager.close(LIMIT)
  assert.deepEqual(logged, [{ event: 'systemd-notify-failed', reason: 'not-found' }])
})

test('a hanging systemd-notify is killed, and the next message is sent', async () => {
  const log2 = join(directory, 'calls')
  writeFileSync(join(directory, 'systemd-notify'), `#!/bin/sh\necho "$@" >> '${log2}'\nexec sleep 600\n`)
  chmodSync(join(directory, 'systemd-notify'), 0o755)
  process.env.PATH = `${directory}:${environmentPath}`
  manager = createServiceManager({ env: { NOTIFY_SOCKET: path }, log })
  manager.ready()
  manager.stopping()
  await manager.close(LIMIT)
  assert.deepEqual(logged, [{ event: 'systemd-notify-failed', reason: 'timed-out' }])
})
