import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { request } from '../support/client.ts'
import { startServer } from '../support/server.ts'
import { until, within } from '../support/until.ts'

/**
 * Acts as systemd: prints each message as one JSON line, without the barriers of systemd-notify.
 */
const RECEIVER = `
import json, socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
print(json.dumps(["bound"]), flush=True)
while True:
    message = receiver.recv(65536).decode().strip().split("\\n")
    if not message[0].startswith("BARRIER="):
        print(json.dumps(message), flush=True)
`

const MISSING = ['python3', 'systemd-notify'].filter((program) => {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' })
    return false
  } catch {
    return true
  }
})
const skip = MISSING.length > 0 && process.env.CI !== 'true' ? `needs ${MISSING.join(' and ')}` : false

it('systemd is notified when the app is ready, reloads and stops, and not by workers', {
  skip,
}, async (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-systemd-'))
  const path = join(directory, 'notify')
  const receiver = spawn('python3', ['-c', RECEIVER, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    const messages: string[][] = []
    let rest = ''
    receiver.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      messages.push(...lines.map((line) => JSON.parse(line) as string[]))
    })
    await until('the receiver', () => messages.shift()?.[0] === 'bound')

    await using server = await startServer({
      files: {
        'app.js': `export default (request, response) => response.end(JSON.stringify(Object.keys(process.env).filter((name) => /^NOTIFY|^WATCHDOG/.test(name))))`,
      },
      settings: { workers: 1 },
      env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: '2000000' },
    })
    const states = (): string[] => messages.flat().filter((word) => /^(READY|RELOADING|STOPPING)=/.test(word))
    await until('READY', () => states().length === 1)
    assert.equal((await request(server.url)).body, '[]')
    await until('a ping of the watchdog', () => messages.flat().filter((word) => word === 'WATCHDOG=1').length >= 2)

    server.signal('SIGHUP')
    await until('the reload to be reported', () => states().length === 3)
    const reloading = messages.find((message) => message.includes('RELOADING=1')) ?? []
    assert.ok(
      reloading.some((word) => /^MONOTONIC_USEC=\d+$/.test(word)),
      String(reloading),
    )

    server.directory.write({ 'app.js': 'throw new Error("not this one")' })
    assert.equal((await server.command('reload')).code, 1)
    await until('the failed reload to be reported', () => states().length === 5)

    server.signal('SIGTERM')
    assert.deepEqual(await within('the server to stop', server.exit), { code: 0, signal: null })
    await until('STOPPING', () => states().includes('STOPPING=1'))
    context.diagnostic(states().join(' '))
    assert.deepEqual(states(), ['READY=1', 'RELOADING=1', 'READY=1', 'RELOADING=1', 'READY=1', 'STOPPING=1'])
  } finally {
    receiver.kill('SIGKILL')
    await once(receiver, 'exit')
    rmSync(directory, { recursive: true, force: true })
  }
})
