import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Incident } from '../../src/diagnostics/incident.ts'

const OPTIONS = { timeout: 60_000 }
const BIN = fileURLToPath(new URL('../../bin/punctual.js', import.meta.url))
const at = (path: string): string => JSON.stringify(new URL(`../../${path}`, import.meta.url).href)

/** Locks the state directory and listens like an arbiter, with invented answers and no workers. */
const ARBITER = `
  import { startControlServer } from ${at('src/arbiter/control-server.ts')}
  import { openStateDirectory } from ${at('src/arbiter/state-directory.ts')}
  import { aStatus, aWorker } from ${at('test/status-samples.ts')}
  const directory = await openStateDirectory(process.argv[1])
  let phase = 'running'
  let workers = [aWorker(), aWorker({ id: 2, pid: 102, state: 'stalled', heartbeatAgeMs: 3200, tainted: true })]
  const leave = async () => {
    workers = [aWorker({ state: 'draining' })]
    await new Promise((resolve) => setTimeout(resolve, 500))
    workers = []
    await server.close()
    await directory.release()
    process.exit(0)
  }
  const server = await startControlServer(directory.controlSocket, {
    status: () => aStatus({ pid: process.pid, phase, workers, restarts: { crash: 2 }, incidents: { total: 1, newest: 'x' } }),
    reload: async () => process.argv[2] === 'broken'
      ? { ok: false, code: 'PUNCTUAL_RELOAD_FAILED', message: 'generation 2 did not boot' }
      : { ok: true, message: 'generation 2 serves' },
    scale: async (change) => ({ ok: true, message: 'asked for ' + JSON.stringify(change) }),
    stop: async () => {
      phase = 'stopping'
      if (process.argv[2] !== 'stubborn') void leave()
      return { ok: true, message: 'stopping' }
    },
    incidents: async () => [],
    incident: async () => undefined,
  })
  process.stdout.write('ready')
`

let parent = ''
let stateDir = ''
let arbiter: ChildProcess | null = null

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'punctual-cli-'))
  stateDir = join(parent, '.punctual')
})
afterEach(async () => {
  if (arbiter !== null && arbiter.exitCode === null && arbiter.signalCode === null) {
    arbiter.kill('SIGKILL')
    await once(arbiter, 'exit')
  }
  arbiter = null
  rmSync(parent, { recursive: true, force: true })
})

async function startArbiter(kind = ''): Promise<ChildProcess> {
  const flags = ['--input-type=module', '-e', ARBITER, stateDir, kind]
  arbiter = spawn(process.execPath, flags, { stdio: ['ignore', 'pipe', 'inherit'] })
  assert.ok(arbiter.stdout !== null)
  await once(arbiter.stdout, 'data')
  return arbiter
}

interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command where the state directory is the default one. */
async function punctual(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  const child = spawn(process.execPath, [BIN, ...args], { cwd: parent, env: { ...process.env, ...env } })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout, stderr }
}

/** The state directory on which no arbiter was found. */
async function missing(env: Record<string, string> = {}): Promise<unknown> {
  const { stderr } = await punctual(['status', '--json'], env)
  const { code, details } = JSON.parse(stderr) as { code: string; details: { stateDir: string } }
  assert.equal(code, 'PUNCTUAL_ARBITER_NOT_RUNNING')
  return details.stateDir
}

test('status prints a headline and a table, or the JSON of /status', OPTIONS, async () => {
  const { pid } = await startArbiter()
  const { code, stdout } = await punctual(['status'])
  assert.equal(code, 0)
  assert.match(stdout, new RegExp(`\\b${pid}\\b`))
  assert.match(stdout, / 102 +stalled /)
  const json = JSON.parse((await punctual(['status', '--json'])).stdout) as { pid: number; workers: unknown[] }
  assert.equal(json.pid, pid)
  assert.equal(json.workers.length, 2)
})

test('the state directory is found by flag, environment, config file and default, in that order', OPTIONS, async () => {
  await startArbiter()
  const elsewhere = { PUNCTUAL_STATE_DIR: join(parent, 'elsewhere') }
  assert.equal((await punctual(['status', '--state-dir', stateDir], elsewhere)).code, 0)
  assert.deepEqual(await missing(elsewhere), join(parent, 'elsewhere'))
  writeFileSync(join(parent, 'punctual.config.json'), '{ "stateDir": "from-file" }')
  assert.deepEqual(await missing(), join(parent, 'from-file'))
  writeFileSync(join(parent, 'punctual.config.json'), 'broken')
  assert.equal((await punctual(['status'])).code, 0)
})

test('without an arbiter every command fails in one line with exit code 1', OPTIONS, async () => {
  for (const args of [['status'], ['reload'], ['scale', '2'], ['stop']]) {
    const { code, stdout, stderr } = await punctual(args)
    assert.equal(code, 1, args[0])
    assert.equal(stdout, '')
    assert.match(stderr, /^punctual: .* \(PUNCTUAL_ARBITER_NOT_RUNNING\)\n$/)
  }
})

test('reload prints the outcome, or fails with the reason', OPTIONS, async () => {
  const first = await startArbiter()
  assert.deepEqual(await punctual(['reload']), { code: 0, stdout: 'generation 2 serves\n', stderr: '' })
  first.kill('SIGKILL')
  await once(first, 'exit')
  await startArbiter('broken')
  const { code, stdout, stderr } = await punctual(['reload'])
  assert.equal(code, 1)
  assert.equal(stdout, '')
  // The message of the arbiter, and the code.
  assert.equal(stderr, 'punctual: generation 2 did not boot (PUNCTUAL_RELOAD_FAILED)\n')
})

test('scale reads -1 as a decrease and not as a flag, and refuses other texts', OPTIONS, async () => {
  await startArbiter()
  assert.equal((await punctual(['scale', '-1'])).stdout, 'asked for {"by":-1}\n')
  assert.equal((await punctual(['scale', '+2'])).stdout, 'asked for {"by":2}\n')
  assert.equal((await punctual(['scale', '3'])).stdout, 'asked for {"to":3}\n')
  for (const wanted of ['0', 'two', '-0']) {
    const { code, stderr } = await punctual(['scale', wanted])
    assert.equal(code, 2, wanted)
    assert.match(stderr, / \(PUNCTUAL_USAGE\)\n$/)
  }
})

test('stop returns when the arbiter has exited, and leaves no lock and socket', OPTIONS, async () => {
  const { pid } = await startArbiter()
  const { code, stdout, stderr } = await punctual(['stop'])
  assert.equal(code, 0)
  assert.match(stdout, new RegExp(`\\b${pid}\\b`))
  assert.notEqual(stderr, '', 'how far it is')
  assert.equal(existsSync(join(stateDir, 'control.sock')), false)
  assert.equal(existsSync(join(stateDir, 'arbiter.lock')), false)
})

test('stop fails after its timeout if the arbiter does not exit', OPTIONS, async () => {
  const { pid } = await startArbiter('stubborn')
  const { code, stderr } = await punctual(['stop', '--timeout', '300ms'])
  assert.equal(code, 1)
  assert.match(stderr, new RegExp(`^punctual: .*\\b${pid}\\b.* \\(PUNCTUAL_COMMAND_TIMED_OUT\\)$`, 'm'))
  assert.equal((await punctual(['stop', '--timeout', 'soon'])).code, 2)
})

test('an arbiter stopped by SIGSTOP is distinguished from a missing one', OPTIONS, async () => {
  const frozen = await startArbiter()
  frozen.kill('SIGSTOP')
  const { code, stderr } = await punctual(['status'])
  assert.equal(code, 1)
  assert.match(stderr, / \(PUNCTUAL_COMMAND_TIMED_OUT\)\n$/)
  frozen.kill('SIGCONT')
})

describe('incidents', () => {
  const incident: Incident = {
    id: '20261122T004331123-w2-stall',
    kind: 'stall',
    at: '2026-11-22T00:43:31.123Z',
    worker: { id: 2, pid: 7, generation: 1 },
    summary:
      'worker 2 (pid 7) stalled 5.0 s in verify (src/login.ts:42) for POST /login, spinning; cut and answered 503',
    outcome: 'interrupted',
    evidence: [],
  }

  function keep(...incidents: readonly Incident[]): void {
    mkdirSync(join(stateDir, 'incidents'), { recursive: true })
    for (const one of incidents) writeFileSync(join(stateDir, 'incidents', `${one.id}.json`), JSON.stringify(one))
  }

  test('are listed from the files, newest first, also without an arbiter', OPTIONS, async () => {
    keep(incident, { ...incident, id: '20261123T000000000-w3-crash', summary: 'worker 3 crashed\u001b[31m' })
    const { code, stdout } = await punctual(['incidents'])
    assert.equal(code, 0)
    const lines = stdout.split('\n')
    assert.match(lines[0] ?? '', /^20261123T000000000-w3-crash /)
    assert.ok(lines.some((line) => line.startsWith(incident.id)))
    assert.ok(!stdout.includes('\u001b'), 'control characters are not printed')
    const json = JSON.parse((await punctual(['incidents', '--json'])).stdout) as Incident[]
    assert.deepEqual(
      json.map(({ id }) => id),
      ['20261123T000000000-w3-crash', incident.id],
    )
  })

  test('are printed in full by their id', OPTIONS, async () => {
    keep(incident)
    const { code, stdout } = await punctual(['incidents', incident.id])
    assert.equal(code, 0)
    assert.ok(stdout.startsWith(`${incident.id}\n`))
    const json = await punctual(['incidents', incident.id, '--json'])
    assert.deepEqual(JSON.parse(json.stdout), incident)
  })

  test('that do not exist, or a missing state directory, are usage errors', OPTIONS, async () => {
    assert.match((await punctual(['incidents'])).stderr, / \(PUNCTUAL_USAGE\)\n$/)
    keep(incident)
    for (const id of ['nothing', '../../etc/passwd']) {
      const { code, stderr } = await punctual(['incidents', id])
      assert.equal(code, 2)
      assert.match(stderr, / \(PUNCTUAL_USAGE\)\n$/)
    }
  })
})
