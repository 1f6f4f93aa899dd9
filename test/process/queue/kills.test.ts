import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { within } from '../support/until.ts'
import { readLines } from './apps/whole-lines.ts'

const APP = join(import.meta.dirname, 'apps/pushing.ts')
/** `KILLS=100` for the long form. */
const KILLS = Number(process.env.KILLS ?? 10)
/** Milliseconds of work before a kill, at most. */
const LONGEST_LIFE = 300
const LIMIT = 60_000

test(`over ${KILLS} kills at random times no persisted item is lost, repeats have the same id, and the order is kept`, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-kills-'))
  const [acknowledged, handled] = [join(directory, 'acknowledged'), join(directory, 'handled')]
  const living: ChildProcess[] = []
  try {
    for (let round = 0; round < KILLS; round++) {
      // Two at a time, so that a running process recovers the items of a dead one.
      while (living.length < 2) {
        const child = start(directory, acknowledged, handled, `run${round}.${living.length}`)
        living.push(child)
        await within('the app to push', begun(child), LIMIT)
      }
      await sleep(Math.random() * LONGEST_LIFE)
      const [victim] = living.splice(round % 2, 1)
      if (victim !== undefined) await kill(victim)
    }
    for (const child of living.splice(0)) await kill(child)
    // One after the other: the second handles what the first has not finished.
    for (let last = 0; last < 2; last++) {
      const child = start(directory, '-', handled, '-')
      child.stdout?.resume()
      const [code] = await within('the rest to be delivered', once(child, 'exit'), LIMIT)
      assert.equal(code, 0)
    }
    check(readLines(acknowledged), readLines(handled))
  } finally {
    for (const child of living) await kill(child)
    rmSync(directory, { recursive: true, force: true })
  }
})

function start(directory: string, ...files: readonly string[]): ChildProcess {
  return spawn(process.execPath, [APP, join(directory, 'state'), ...files], { stdio: ['ignore', 'pipe', 'inherit'] })
}

async function begun(child: ChildProcess): Promise<void> {
  assert.ok(child.stdout)
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    if (String(chunk).includes('pushing')) {
      child.stdout.resume()
      return
    }
  }
  throw new Error('the app ended before it pushed anything')
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await within('the process to be gone', exited)
}

function check(acknowledged: readonly string[], handled: readonly string[]): void {
  assert.ok(acknowledged.length > 0)
  const ids = new Map<string, string>()
  const newest = new Map<string, number>()
  let twice = 0
  for (const line of handled) {
    const [id = '', run = '', number = ''] = line.split(' ')
    const key = `${run} ${number}`
    const before = ids.get(key)
    if (before !== undefined) {
      assert.equal(id, before, `${key} came with two ids`)
      twice++
      continue
    }
    ids.set(key, id)
    assert.ok(Number(number) > (newest.get(run) ?? -1), `${key} came after ${newest.get(run)}`)
    newest.set(run, Number(number))
  }
  const lost = acknowledged.filter((key) => !ids.has(key))
  assert.deepEqual(lost.slice(0, 10), [], `${lost.length} of ${acknowledged.length} are lost`)
  console.log(`${acknowledged.length} acknowledged, ${ids.size} handled, ${twice} of them came again`)
}
