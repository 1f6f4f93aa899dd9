import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, chownSync, existsSync, lchownSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { jsonLine } from '../../../src/ipc/json-lines.ts'
import { aStatus } from '../../status-samples.ts'
import { type AppDirectory, createAppDirectory } from '../support/app-directory.ts'
import { request } from '../support/client.ts'
import { printedCode } from '../support/printed-error.ts'
import { environment, startServer } from '../support/server.ts'
import { WAIT_LIMIT, within } from '../support/until.ts'

const BIN = join(import.meta.dirname, '../../../bin/punctual.js')

/** Clears the screen, sets the title, forges a line, reverses text; C0, C1 and bidi controls. */
const HOSTILE = 'a\u001b[2J\u001b]0;owned\u0007\rfake\npunctual: all is well\u009b31m\u202ex\u2066y\u200f\u2028z'
// biome-ignore lint/suspicious/noControlCharactersInRegex: it finds them on purpose.
const CONTROLS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/
/** A line of the output that the attacker wrote. */
const FORGED = /^(?:fake|punctual: all is well)/m

let app: AppDirectory
let listener: Server | null = null
const sockets = new Set<Socket>()

beforeEach(() => {
  app = createAppDirectory({})
  mkdirSync(join(app.path, 'state'), { mode: 0o700 })
})

afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  await new Promise<void>((resolve) => (listener === null ? resolve() : listener.close(() => resolve())))
  listener = null
  app.remove()
})

interface Result {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly tookMs: number
}

function punctual(words: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Result> {
  const startedAt = performance.now()
  const child = spawn(process.execPath, [BIN, ...words], {
    cwd: app.path,
    env: { ...environment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      output[name] += chunk
    })
  }
  const ended = new Promise<Result>((resolve) => {
    child.on('close', (code) => resolve({ code, ...output, tookMs: performance.now() - startedAt }))
  })
  return within(`punctual ${words.join(' ')} to end`, ended, WAIT_LIMIT).finally(() => child.kill('SIGKILL'))
}

const ofState = (...words: readonly string[]): Promise<Result> => punctual([...words, '--state-dir', 'state'])

/** Listens in the place of an arbiter. */
function pretend(talk: (socket: Socket, command: string) => void): Promise<void> {
  listener = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).once('data', (line) => talk(socket, JSON.parse(String(line)).command))
  })
  return new Promise((resolve) => listener?.listen(join(app.path, 'state/control.sock'), resolve))
}

/** @param oneLine whether no foreign text may begin a line */
function assertHarmless(name: string, { stdout, stderr }: Result, oneLine = true): void {
  const output = stdout + stderr
  assert.doesNotMatch(
    output,
    CONTROLS,
    `${name}: ${JSON.stringify(output.match(CONTROLS))} in ${JSON.stringify(output)}`,
  )
  if (oneLine) assert.doesNotMatch(output, FORGED, `${name}: ${JSON.stringify(output)}`)
}

/** The value with every text replaced by the hostile one. */
function hostile(value: unknown): unknown {
  if (typeof value === 'string') return HOSTILE
  if (Array.isArray(value)) return value.map(hostile)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, hostile(item)]))
}

describe('what a command prints has no control characters', { concurrency: false }, () => {
  test('of an answer or progress of the control socket', async () => {
    const status = hostile(aStatus()) as Record<string, unknown>
    const settings = {
      pid: 1,
      configFile: HOSTILE,
      settings: { workers: { value: HOSTILE, origin: HOSTILE, source: HOSTILE } },
      rules: [{ rule: HOSTILE, applies: true, holds: true }],
      set: { [`x.${HOSTILE}`]: { value: HOSTILE, at: HOSTILE } },
      declared: [{ name: HOSTILE, values: [HOSTILE], standard: HOSTILE, isSet: true, workers: 1 }],
    }
    await pretend((socket, command) => {
      socket.write(jsonLine({ id: 1, progress: HOSTILE }))
      const error = { code: HOSTILE, message: HOSTILE, details: { why: HOSTILE } }
      if (command === 'scale') socket.write(jsonLine({ id: 1, ok: false, error }))
      else if (command === 'status')
        socket.write(jsonLine({ id: 1, ok: true, result: { ...status, restarts: { [HOSTILE]: 1 } } }))
      else if (command === 'settings') socket.write(jsonLine({ id: 1, ok: true, result: settings }))
      else socket.write(jsonLine({ id: 1, ok: true, result: { message: HOSTILE, unconfirmed: [] } }))
    })
    const commands = [
      ['status'],
      ['status', '--json'],
      ['config'],
      ['config', '--json'],
      ['scale', '2'],
      ['set', 'a.b', 'c'],
    ]
    await Promise.all(
      commands.map(async (words) => {
        const result = await ofState(...words)
        // Messages may have several lines, such as a stack; tables and JSON may not.
        assertHarmless(words.join(' '), result, false)
        if (/^(?:status|config)$/.test(words[0] ?? '')) assertHarmless(words.join(' '), { ...result, stderr: '' })
        if (words.includes('--json')) assert.ok(JSON.parse(result.stdout))
      }),
    )
  })

  test('of an incident file, a dead letter or set.json', async () => {
    const id = '20261122T004331123-w1-stall'
    const line = { method: HOSTILE, target: HOSTILE, ageMs: 1 }
    const evidence = {
      stage: 'report',
      stalledForMs: 1,
      stack: [{ function: HOSTILE, file: HOSTILE, line: 1, column: 1 }],
      request: line,
      inFlight: [line],
      inFlightCount: 1,
      kernel: { doing: 'waiting', cpuShare: 0, wchan: HOSTILE, syscall: HOSTILE, target: HOSTILE, children: [HOSTILE] },
      loopLag: [1],
      memory: { rss: 1, heapUsed: 1, heapLimit: 1 },
      allowBlocking: HOSTILE,
    }
    const incident = {
      id,
      kind: 'stall',
      at: HOSTILE,
      worker: { id: 1, pid: 1, generation: 1 },
      summary: HOSTILE,
      outcome: 'ongoing',
      evidence: [evidence],
      error: { name: HOSTILE, message: HOSTILE, stack: HOSTILE },
      waitingFor: [HOSTILE],
    }
    const letter = {
      id: HOSTILE,
      item: { text: HOSTILE },
      error: { name: HOSTILE, message: HOSTILE },
      attempts: 1,
      firstFailedAt: HOSTILE,
      lastFailedAt: HOSTILE,
    }
    app.write({
      [`state/incidents/${id}.json`]: JSON.stringify(incident),
      'state/spool/mails/dead/01ARZ3NDEKTSV4RRFFQ69G5FAV.jsonl': `${JSON.stringify(letter)}\n`,
      'state/set.json': JSON.stringify({ version: 1, set: { requestTimeout: { value: HOSTILE, at: HOSTILE } } }),
    })
    const commands = [
      ['incidents'],
      ['incidents', id],
      ['incidents', id, '--json'],
      ['incidents', HOSTILE],
      ['deferred', 'mails'],
      ['deferred', 'mails', '--json'],
      ['config'],
      [HOSTILE],
    ]
    await Promise.all(
      commands.map(async (words) => {
        const result = await (words[0] === HOSTILE ? punctual(words) : ofState(...words))
        assertHarmless(words.join(' '), result)
        if (result.code === 0) assert.notEqual(result.stdout, '', words.join(' '))
      }),
    )
  })
})

test('the log of a server has no control characters of a request, a wait or an error', async () => {
  const waits = join(import.meta.dirname, '../../../src/resilience/with-timeout.ts')
  await using server = await startServer({
    files: {
      'app.mjs': `
import http from 'node:http'
import { withTimeout } from ${JSON.stringify(waits)}
const hostile = ${JSON.stringify(HOSTILE)}
http.createServer(async (request, response) => {
  if (request.url === '/crash') setImmediate(() => { throw Object.assign(new Error(hostile), { name: hostile }) })
  await withTimeout(hostile, '50ms', () => new Promise(() => {})).catch(() => {})
  response.end()
}).listen(process.env.PORT, process.env.HOST)
`,
    },
    settings: { workers: 1, accessLog: 'all' },
  })
  await request(`${server.url}/wait`, { headers: { 'x-request-id': '\u009b31m' } })
  await server.log((line) => line.event === 'request')
  await request(`${server.url}/crash`)
  const { id } = await server.incident('of the crash', ({ kind }) => kind === 'crash')
  const [shown, status] = await Promise.all([server.command('incidents', id), server.command('status')])
  for (const { stdout, stderr } of [shown, status]) assert.doesNotMatch(stdout + stderr, CONTROLS)
  await server.stop()
  // What the app throws is printed by Node itself.
  const lines = server.output.split('\n').filter((line) => line.startsWith('{"level"'))
  assert.ok(lines.length > 0)
  for (const line of lines) assert.doesNotMatch(line, CONTROLS)
})

describe('an answer of the control socket without end', { concurrency: false }, () => {
  /** Writes for as long as the client reads. */
  function flood(socket: Socket, piece: (count: number) => string): void {
    let count = 0
    const more = (): void => {
      while (!socket.destroyed && socket.write(piece(count++)));
    }
    socket.on('drain', more)
    more()
  }

  test('is cut off, with an error', async () => {
    const large = 'x'.repeat(64 * 1024)
    await pretend((socket) => flood(socket, () => large))
    const result = await ofState('status')
    assert.equal(printedCode(result.stderr), 'PUNCTUAL_COMMAND_REFUSED')
    assert.ok(result.stderr.length < 10_000)
  })

  test('of progress is cut off, and little of it is printed', async () => {
    await pretend((socket) => flood(socket, (count) => jsonLine({ id: 1, progress: `${count} ${'x'.repeat(10_000)}` })))
    const result = await ofState('reload')
    assert.equal(result.code, 1)
    assert.ok(result.stderr.length < 2_000_000, `${result.stderr.length} characters were printed`)
  })
})

const isRoot = process.geteuid?.() === 0
const OTHER_USER = 65_534

describe('a command that only reads', { concurrency: false }, () => {
  async function assertRefused(...commands: readonly string[]): Promise<void> {
    await Promise.all(
      commands.map(async (word) => {
        const result = await punctual([word, '--json'])
        assert.equal(result.code, 2, `${word}: ${result.stdout}${result.stderr}`)
        const { code, details } = JSON.parse(result.stderr.trim().split('\n').at(-1) ?? '')
        assert.equal(code, 'PUNCTUAL_SETTINGS_INVALID')
        assert.deepEqual(
          details.faults.map(({ kind, source }: { kind: string; source: string }) => [kind, source]),
          [['file-foreign', 'punctual.config.mjs']],
        )
      }),
    )
    assert.equal(existsSync(join(app.path, 'executed')), false)
  }

  const PROGRAM = `import { writeFileSync } from 'node:fs'
writeFileSync('executed', '')
export default { stateDir: 'state' }
`

  test('runs no config file of another user', { skip: !isRoot && 'needs root' }, async () => {
    app.write({ 'punctual.config.mjs': PROGRAM })
    chownSync(join(app.path, 'punctual.config.mjs'), OTHER_USER, OTHER_USER)
    await assertRefused('status', 'incidents', 'config', 'deferred', 'explain')
    // The state directory says it without the file.
    const { code } = await punctual(['incidents'], { PUNCTUAL_STATE_DIR: join(app.path, 'state') })
    assert.equal(code, 0)
    assert.equal(existsSync(join(app.path, 'executed')), false)
  })

  test('runs no config file that every user can write to', async () => {
    app.write({ 'punctual.config.mjs': PROGRAM })
    chmodSync(join(app.path, 'punctual.config.mjs'), 0o666)
    await assertRefused('incidents')
  })

  test('runs no file that a link of another user names', { skip: !isRoot && 'needs root' }, async () => {
    writeFileSync(join(app.path, 'own.mjs'), PROGRAM)
    symlinkSync('own.mjs', join(app.path, 'punctual.config.mjs'))
    lchownSync(join(app.path, 'punctual.config.mjs'), OTHER_USER, OTHER_USER)
    await assertRefused('incidents')
  })

  test('runs no config file in a directory that every user can write to', async () => {
    app.write({ 'punctual.config.mjs': PROGRAM })
    chmodSync(app.path, 0o777)
    await assertRefused('incidents')
  })

  test('runs the config file of its own user', async () => {
    app.write({ 'punctual.config.mjs': PROGRAM })
    const { code } = await punctual(['incidents'])
    assert.equal(code, 0)
    assert.equal(existsSync(join(app.path, 'executed')), true)
  })
})
