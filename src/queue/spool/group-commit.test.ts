import assert from 'node:assert/strict'
import { openSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { PunctualError } from '../../errors/punctual-error.ts'
import { ms } from '../../resilience/duration.ts'
import { inSyncQueue } from './file-io.ts'
import { GroupCommit } from './group-commit.ts'
import { Segment } from './segment.ts'

function isNotSynced(reason: string): (error: unknown) => boolean {
  return (error) =>
    error instanceof PunctualError && error.code === 'PUNCTUAL_QUEUE_NOT_SYNCED' && error.details?.reason === reason
}

/** A device that accepts writes and refuses to sync (EINVAL). */
const REFUSES = '/dev/null'

function segmentAt(context: TestContext, path: string): Segment {
  const segment = new Segment(1, path, openSync(path, 'r'), 0)
  context.after(() => segment.close())
  return segment
}

test('synced rejects until refused items are settled, although another sync would succeed', async (t) => {
  const faults: unknown[] = []
  const commit = new GroupCommit(ms(1))
  commit.on('fault', (error) => faults.push(error))
  const refused = segmentAt(t, REFUSES)
  commit.onAppend(refused)
  await assert.rejects(commit.synced(), isNotSynced('EINVAL'))
  assert.equal(faults.length, 1)
  await assert.rejects(commit.synced(), isNotSynced('EINVAL'))
  commit.onAppend(segmentAt(t, import.meta.filename))
  await assert.rejects(commit.synced(), isNotSynced('EINVAL'))
  commit.forget(refused)
  await commit.synced()
  await commit.close()
})

test('a caller that waits again right after an answer gets another one', async (t) => {
  const commit = new GroupCommit(ms(1))
  commit.on('fault', () => assert.fail('no fault'))
  const segment = segmentAt(t, import.meta.filename)
  const answers: number[] = []
  const ask = (): Promise<void> => commit.synced()
  for (let round = 0; round < 3; round++) {
    commit.onAppend(segment)
    await ask()
      .then(ask)
      .then(() => answers.push(round))
    await ask()
  }
  assert.deepEqual(answers, [0, 1, 2])
  await commit.close()
})

test('a caller that waits during a sync is answered with it', async (t) => {
  const commit = new GroupCommit(ms(1))
  commit.on('fault', () => assert.fail('no fault'))
  const { promise, resolve } = Promise.withResolvers<void>()
  void inSyncQueue(() => promise)
  commit.onAppend(segmentAt(t, import.meta.filename))
  const closed = commit.close()
  const asked = commit.synced()
  resolve()
  await Promise.all([closed, asked])
  await commit.synced()
})

test('synced rejects after a close without a sync, for earlier and later callers', async (t) => {
  const commit = new GroupCommit(ms(3_600_000))
  const segment = segmentAt(t, import.meta.filename)
  commit.onAppend(segment)
  const waiting = assert.rejects(commit.synced(), isNotSynced('closed'))
  commit.abandon()
  segment.close()
  await waiting
  await assert.rejects(commit.synced(), isNotSynced('closed'))
})

test('a segment that is forgotten during its sync rejects no caller', async (t) => {
  const commit = new GroupCommit(ms(1))
  commit.on('fault', () => assert.fail('no fault'))
  const segment = segmentAt(t, REFUSES)
  commit.onAppend(segment)
  const synced = commit.synced()
  commit.forget(segment)
  segment.close()
  await synced
})
