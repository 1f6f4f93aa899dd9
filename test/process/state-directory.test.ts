import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'

const MODULE = new URL('../../src/arbiter/state-directory.ts', import.meta.url).href
const LIMIT = { timeout: 30_000 }

/** Takes the state directory on request, prints the result, and keeps running. */
const ARBITER = `
  import { openStateDirectory } from ${JSON.stringify(MODULE)}
  process.stdout.write('here\\n')
  process.stdin.once('data', async () => {
    try {
      await openStateDirectory(process.argv[1])
      process.stdout.write('holds\\n')
      setInterval(() => {}, 1_000)
    } catch (error) {
      process.stdout.write(JSON.stringify({ code: error.code, ...error.details }) + '\\n')
      process.exit(error.exitCode)
    }
  })
`

let parent = ''
let stateDir = ''
let children: ChildProcess[] = []

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'punctual-state-'))
  stateDir = join(parent, '.punctual')
  children = []
})
afterEach(async () => {
  for (const child of children) await kill(child)
  rmSync(parent, { recursive: true, force: true })
})

interface Arbiter {
  readonly child: ChildProcess
  take(): Promise<string>
}

async function arbiter(): Promise<Arbiter> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', ARBITER, stateDir], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  children.push(child)
  const { stdin, stdout } = child
  assert.ok(stdin !== null && stdout !== null)
  const line = async (): Promise<string> => String((await once(stdout, 'data'))[0]).trim()
  assert.equal(await line(), 'here')
  return {
    child,
    take: () => {
      stdin.write('go\n')
      return line()
    },
  }
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

test('a second arbiter on a state directory is refused with the pid of the first and exit code 2', LIMIT, async () => {
  const [first, second] = [await arbiter(), await arbiter()]
  assert.equal(await first.take(), 'holds')
  const exit = once(second.child, 'exit')
  const refusal = { code: 'PUNCTUAL_STATE_DIR_LOCKED', stateDir, pid: first.child.pid, hostname: hostname() }
  assert.deepEqual(JSON.parse(await second.take()), refusal)
  assert.deepEqual(await exit, [2, null])
})

test('the lock of a killed arbiter is taken over by exactly one of several new ones', LIMIT, async () => {
  const dead = await arbiter()
  assert.equal(await dead.take(), 'holds')
  await kill(dead.child)
  assert.ok(existsSync(join(stateDir, 'arbiter.lock')), 'SIGKILL leaves the lock behind')

  const takers = await Promise.all(Array.from({ length: 4 }, arbiter))
  const results = await Promise.all(takers.map((taker) => taker.take()))
  const winners = takers.filter((_, index) => results[index] === 'holds')
  assert.equal(winners.length, 1, results.join('\n'))
  const { pid } = JSON.parse(readFileSync(join(stateDir, 'arbiter.lock'), 'utf8')) as { pid: number }
  assert.equal(pid, winners[0]?.child.pid)
  for (const line of results.filter((line) => line !== 'holds')) {
    assert.equal(JSON.parse(line).code, 'PUNCTUAL_STATE_DIR_LOCKED')
  }
})
