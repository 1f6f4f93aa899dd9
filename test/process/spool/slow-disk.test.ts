import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../support/until.ts'
import { startProgram } from './started-program.ts'

test('a write of more than half a second makes a spool degrade, and it recovers by itself', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-slow-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const program = await startProgram(t, 'append-large', directory)
  await until('a write to have been long', async () => {
    // A process that is stopped during a write sees the same as with a disk that hangs. Most of its
    // time is spent writing.
    program.process.kill('SIGSTOP')
    await sleep(700)
    program.process.kill('SIGCONT')
    return program.printed().includes('degraded: slow\n')
  })
  await until('it to go on', () => program.printed().trimEnd().endsWith('ok'))
  assert.ok(!program.printed().includes('threw'))
})
