import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { until } from '../../test/process/support/until.ts'
import { newBatch, QueueItem } from './batch.ts'
import { type DeadLetter, DeadLetterQueue, DeadLetterStore, storedError } from './dead-letters.ts'
import { type QueueEvent, QueueEvents } from './queue-events.ts'
import { DropCounter } from './queue-warnings.ts'
import { inSyncQueue } from './spool/file-io.ts'
import { splitId } from './spool/segment-format.ts'
import { ulid } from './ulid.ts'

const AT = '2026-01-01T00:00:00.000Z'

function letter(item: unknown): DeadLetter {
  return {
    id: ulid(),
    item,
    error: { name: 'Error', message: 'no' },
    attempts: 10,
    firstFailedAt: AT,
    lastFailedAt: AT,
  }
}

async function withSpool(work: (spool: string) => Promise<void>): Promise<void> {
  const spool = mkdtempSync(join(tmpdir(), 'punctual-dead-'))
  try {
    await work(spool)
  } finally {
    rmSync(spool, { recursive: true, force: true })
  }
}

test('entries are listed in order, and readable by their user only', () =>
  withSpool(async (spool) => {
    const letters = new DeadLetterStore(spool, 'q')
    assert.deepEqual(await letters.list(), [])
    const all = [letter({ a: 1 }), letter('two\nlines'), letter(null)]
    await letters.add(all.slice(0, 2))
    await letters.add(all.slice(2))
    assert.deepEqual(await letters.list(), all)
    assert.equal(await letters.count(), 3)
    const names = readdirSync(letters.directory)
    assert.equal(names.length, 2)
    assert.equal(statSync(join(letters.directory, names[0] ?? '')).mode & 0o777, 0o600)
  }))

test('removed entries are gone, and the others of the same file remain', () =>
  withSpool(async (spool) => {
    const letters = new DeadLetterStore(spool, 'q')
    const all = [letter(1), letter(2), letter(3)]
    await letters.add(all)
    assert.equal(await letters.remove(({ item }) => item === 2), 1)
    assert.deepEqual(
      (await letters.list()).map(({ item }) => item),
      [1, 3],
    )
    assert.equal(await letters.remove(() => true), 2)
    assert.deepEqual(readdirSync(letters.directory), [])
  }))

test('beyond a bound, the oldest entries are deleted down to nine tenths of it, and counted', () =>
  withSpool(async (spool) => {
    const letters = new DeadLetterStore(spool, 'q', { files: 20, bytes: 1024 * 1024 })
    let gone = 0
    for (let number = 0; number < 21; number++) {
      await letters.add([letter(number), letter(`${number} too`)])
      const more = await letters.enforceBounds()
      assert.ok(more === 0 || number === 20)
      gone += more
    }
    assert.equal(gone, 6)
    assert.deepEqual(
      (await letters.list()).map(({ item }) => item),
      Array.from({ length: 18 }, (_, index) => [index + 3, `${index + 3} too`]).flat(),
    )
  }))

test('an entry that is larger than the bound is kept until the next one', () =>
  withSpool(async (spool) => {
    const letters = new DeadLetterStore(spool, 'q', { files: 20, bytes: 1_000 })
    for (const item of ['x'.repeat(2_000), 'y'.repeat(2_000)]) {
      await letters.add([letter(item)])
      await letters.enforceBounds()
      assert.deepEqual(
        (await letters.list()).map((kept) => kept.item),
        [item],
      )
    }
  }))

test('a withdrawn entry is gone', () =>
  withSpool(async (spool) => {
    const letters = new DeadLetterStore(spool, 'q')
    await letters.withdraw(await letters.add([letter(1)]))
    assert.deepEqual(await letters.list(), [])
  }))

test('a line that is not an entry is skipped', () =>
  withSpool(async (spool) => {
    const letters = new DeadLetterStore(spool, 'q')
    await letters.add([letter(1)])
    writeFileSync(join(letters.directory, 'edited.jsonl'), '{"id":\nnull\n7\n{"id":"x"}\n')
    writeFileSync(join(letters.directory, '.left.tmp'), 'half')
    assert.equal(await letters.count(), 1)
  }))

test('add rejects when the entries cannot be written', () =>
  withSpool(async (spool) => {
    writeFileSync(join(spool, 'q'), 'in the way')
    await assert.rejects(new DeadLetterStore(spool, 'q').add([letter(1)]), { code: 'ENOTDIR' })
  }))

test('name, code and the beginning of the message of an error are stored, and the text of other values', () => {
  const error = Object.assign(new TypeError('x'.repeat(10_000)), { code: 'E_X' })
  const kept = storedError(error)
  assert.equal(kept.name, 'TypeError')
  assert.equal(kept.code, 'E_X')
  assert.ok(kept.message.length < 5_000)
  assert.deepEqual(storedError('just text'), { name: 'unknown', message: 'just text' })
})

test('an entry is stored with its item, error, attempts and times', () =>
  withSpool(async (spool) => {
    const events = new QueueEvents('q', () => {})
    const deadLetters = new DeadLetterQueue(spool, 'q', new DropCounter(events), events)
    const batch = newBatch([new QueueItem(splitId('id'), '{"n":1}', 7, 0)])
    batch.failed = 10
    batch.firstFailedAt = AT
    assert.equal(await deadLetters.deadLetter(batch, Object.assign(new Error('no'), { code: 'E_NO' })), true)
    const { directory } = new DeadLetterStore(spool, 'q')
    const [file = ''] = readdirSync(directory)
    const { lastFailedAt, ...stored } = JSON.parse(readFileSync(join(directory, file), 'utf8'))
    assert.deepEqual(stored, {
      id: 'id',
      item: { n: 1 },
      error: { name: 'Error', message: 'no', code: 'E_NO' },
      attempts: 10,
      firstFailedAt: AT,
    })
    assert.ok(lastFailedAt > AT)
  }))

test('while the disk hangs, an item is kept, and its late dead letter is withdrawn', async (t) => {
  const spool = mkdtempSync(join(tmpdir(), 'punctual-dead-'))
  t.after(() => rmSync(spool, { recursive: true, force: true }))
  const reported: QueueEvent['details'][] = []
  const events = new QueueEvents('q', ({ details }) => void reported.push(details))
  const deadLetters = new DeadLetterQueue(spool, 'q', new DropCounter(events), events)
  const batch = newBatch([new QueueItem(splitId('id'), '{"n":1}', 7, 0)])
  const { promise, resolve } = Promise.withResolvers<void>()
  void inSyncQueue(() => promise)
  assert.equal(await deadLetters.deadLetter(batch, new Error('no')), false)
  assert.deepEqual([reported[0]?.written, reported[0]?.items], [false, 1])
  resolve()
  // The queue is serial: the earlier write has ended then.
  await inSyncQueue(async () => {})
  const letters = new DeadLetterStore(spool, 'q')
  await until('nothing to be left of it', async () => (await letters.count()) === 0)
  assert.equal(await deadLetters.deadLetter(batch, new Error('no')), true)
  assert.deepEqual(
    (await letters.list()).map(({ id, item }) => ({ id, item })),
    [{ id: 'id', item: { n: 1 } }],
  )
  assert.equal(deadLetters.count, 1)
})
