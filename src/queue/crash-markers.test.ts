import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { QueueItem } from './batch.ts'
import { CrashMarkers, maxBatchSize } from './crash-markers.ts'
import { splitId } from './spool/segment-format.ts'

test('items that a dead owner was handling have one more crash, once; those it had finished do not', () => {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-marks-'))
  try {
    const item = (id: string, deaths: number): QueueItem => new QueueItem(splitId(id), '1', 1, 0, null, deaths)
    const dead = new CrashMarkers(join(directory, 'dead'), 'host-1-2')
    const done = dead.mark([item('a', 0)])
    dead.mark([item('b', 0), item('c', 0)])
    dead.mark([item('d', 1)])
    done()
    new CrashMarkers(join(directory, 'dead'), 'host-1-23').mark([item('e', 0)])
    writeFileSync(join(directory, 'dead', '.handling-host-1-2-9.json'), '{"ids":["f"')
    const successor = new CrashMarkers(join(directory, 'dead'), 'host-3-4')
    assert.deepEqual([...successor.takeCrashes('host-1-2')].toSorted(), [
      ['b', 1],
      ['c', 1],
      ['d', 2],
    ])
    assert.deepEqual([...successor.takeCrashes('host-1-2')], [])
    assert.equal(readdirSync(join(directory, 'dead')).length, 1)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

test('the more crashes, the smaller the batch', () => {
  assert.deepEqual([0, 1, 2, 3, 9].map(maxBatchSize), [Number.POSITIVE_INFINITY, 20, 1, 1, 1])
})

test('markers that cannot be removed do not stop a recovery', () => {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-marks-'))
  try {
    // A directory cannot be removed as a file.
    mkdirSync(join(directory, '.handling-host-1-2-0.json'))
    assert.deepEqual([...new CrashMarkers(directory, 'host-3-4').takeCrashes('host-1-2')], [])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
