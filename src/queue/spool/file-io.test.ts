import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { until } from '../../../test/process/support/until.ts'
import { ms } from '../../resilience/duration.ts'
import { ulid } from '../ulid.ts'
import { inFileQueue, inSyncQueue } from './file-io.ts'
import { thisOwner } from './owner.ts'
import { Spool } from './spool.ts'

test('work runs one after the other, also after a failure', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const done: string[] = []
  const first = inFileQueue(async () => {
    await promise
    done.push('first')
    throw new Error('no')
  })
  const second = inFileQueue(async () => done.push('second'))
  await inSyncQueue(async () => done.push('sync'))
  assert.deepEqual(done, ['sync'])
  resolve()
  await assert.rejects(first, /no/)
  await second
  assert.deepEqual(done, ['sync', 'first', 'second'])
})

test('while the disk hangs, a spool starts no more operations, and continues when it answers', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-lane-'))
  const { promise, resolve } = Promise.withResolvers<void>()
  const spool = new Spool({
    directory,
    queue: 'q',
    owner: thisOwner(),
    durability: 'process',
    syncEvery: ms(1),
    maxBytes: 1024 * 1024,
    segmentBytes: 4_096,
  })
  t.after(() => {
    resolve()
    spool.closeSync()
    rmSync(directory, { recursive: true, force: true })
  })
  void inFileQueue(() => promise)
  const segments = (): Promise<string[]> => readdir(join(directory, 'q', thisOwner()))
  for (let item = 0; item < 100; item++) {
    spool.append(ulid(), JSON.stringify('x'.repeat(100)))
    await new Promise((turn) => setImmediate(turn))
  }
  assert.equal((await segments()).length, 1)
  resolve()
  await until('the next segment', async () => (await segments()).length === 2)
})
