import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { until } from '../../test/process/support/until.ts'
import { newBatch } from './batch.ts'
import { DeadLetters } from './dead-letters.ts'
import type { QueueEvent } from './defer-events.ts'
import { DeferredItem } from './deferred-item.ts'
import { DropCounter } from './drop-counter.ts'
import { Graveyard } from './graveyard.ts'
import { inSyncLane } from './spool/disk-lane.ts'
import { splitId } from './spool/segment-format.ts'

test('while the disk hangs an item is kept, and is no dead letter when the disk answers after all', async (t) => {
  const spool = mkdtempSync(join(tmpdir(), 'punctual-graveyard-'))
  t.after(() => rmSync(spool, { recursive: true, force: true }))
  const told: QueueEvent['details'][] = []
  const graveyard = new Graveyard(spool, 'q', new DropCounter('q', () => {}), ({ details }) => told.push(details))
  const batch = newBatch([new DeferredItem(splitId('id'), '{"n":1}', 7, 0)])
  const { promise, resolve } = Promise.withResolvers<void>()
  void inSyncLane(() => promise)
  assert.equal(await graveyard.add(batch, new Error('no')), false)
  assert.deepEqual([told[0]?.written, told[0]?.items], [false, 1])
  resolve()
  // Behind what was asked for before, so that has been done.
  await inSyncLane(async () => {})
  const letters = new DeadLetters(spool, 'q')
  await until('nothing to be left of it', async () => (await letters.count()) === 0)
  assert.equal(await graveyard.add(batch, new Error('no')), true)
  assert.deepEqual(
    (await letters.list()).map(({ id, item }) => ({ id, item })),
    [{ id: 'id', item: { n: 1 } }],
  )
  assert.equal(graveyard.buried, 1)
})
