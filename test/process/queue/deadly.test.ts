import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { DeadLetterStore } from '../../../src/queue/dead-letters.ts'
import { within } from '../support/until.ts'

const APP = join(import.meta.dirname, 'apps/deadly.ts')
/** The first, whose items are not marked, and three that are. */
const DEATHS = 4

test('an item that kills its processes becomes a dead letter, and all others are delivered', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-deadly-'))
  try {
    const [stateDir, handled] = [join(directory, 'state'), join(directory, 'handled')]
    const signals: unknown[] = []
    for (let run = 0; run <= DEATHS; run++) {
      const args = [APP, stateDir, handled, ...(run === 0 ? ['first'] : [])]
      const child = spawn(process.execPath, args, { stdio: 'inherit' })
      const [, signal] = await within('the app to end', once(child, 'exit'))
      signals.push(signal)
    }
    assert.deepEqual(signals, [...Array.from({ length: DEATHS }, () => 'SIGKILL'), null])
    const items = new Set(readFileSync(handled, 'utf8').split('\n').slice(0, -1).map(Number))
    assert.deepEqual(
      [...items].toSorted((one, other) => one - other),
      Array.from({ length: 100 }, (_, n) => n).filter((n) => n !== 42),
    )
    const letters = await new DeadLetterStore(join(stateDir, 'spool'), 'deadly').list()
    assert.deepEqual(
      letters.map(({ item, error }) => [item, error.name, error.code]),
      [[42, 'PermanentError', 'PUNCTUAL_ITEM_KILLS_PROCESS']],
    )
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
