import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { until } from '../../../test/process/support/until.ts'
import { publishWorkerChannel, type WorkerChannel } from '../../ipc/worker-channel.ts'
import { listOwners, thisOwner } from './owner.ts'
import { recoverSpool } from './recovery-reader.ts'
import { encodeHeader, RecordBuffer } from './segment-format.ts'

const MACHINE = thisOwner().slice(-8)
const BY = `living-2-2.${MACHINE}`
const owner = (number: number, machine = MACHINE): string => `dead-${number}-1.${machine}`
const idOf = (number: number): string => String(number).padStart(26, '0')

function temporary(context: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-recovery-'))
  context.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** A segment with items of these numbers. */
function segment(...numbers: readonly number[]): Buffer {
  const record = new RecordBuffer()
  const parts = [encodeHeader({ queue: 'q', owner: 'any', created: '2026-01-01T00:00:00.000Z' })]
  for (const number of numbers) {
    const length = record.item(idOf(number), String(number))
    parts.push(Buffer.from(record.bytes.subarray(0, length)))
  }
  return Buffer.concat(parts)
}

function leave(directory: string, below: string, name: string, bytes: Buffer): void {
  mkdirSync(join(directory, 'q', below), { recursive: true })
  writeFileSync(join(directory, 'q', below, name), bytes)
}

test('what a dead owner had taken over is recovered with its own items, at any depth', async (t) => {
  const directory = temporary(t)
  leave(directory, owner(1), '00000001.spool', segment(5, 6))
  leave(directory, `${owner(1)}/${owner(2)}`, '00000009.spool', segment(3, 4))
  leave(directory, `${owner(1)}/${owner(2)}/${owner(3)}`, '00000002.spool', segment(2))
  leave(directory, `${owner(1)}/${owner(2)}/${owner(3)}`, '00000001.spool', segment(1))
  // The new owner has one of that name already.
  leave(directory, `${BY}/${owner(3)}`, '00000001.spool', segment(9))
  const reader = recoverSpool(directory, 'q', owner(1), BY)
  assert.deepEqual(
    reader?.items.map(({ json }) => json),
    ['1', '2', '3', '4', '5', '6'],
  )
  assert.deepEqual(readdirSync(join(directory, 'q', BY)).sort(), [owner(1), owner(2), owner(3), `${owner(3)}~1`])
  assert.deepEqual(listOwners(directory, 'q'), [BY])
  reader?.settle(reader.items.slice(0, 3).map(({ place }) => place))
  reader?.release()
  assert.deepEqual([...listOwners(directory, 'q')].sort(), [owner(1), owner(2), BY].sort())
  assert.deepEqual(
    recoverSpool(directory, 'q', owner(2), BY)?.items.map(({ json }) => json),
    ['4'],
  )
})

test('an unfinished record is truncated without a report, also in preallocated space', (t) => {
  const whole = segment(1, 2)
  const next = segment(1, 2, 345).subarray(whole.length)
  for (let length = 0; length < next.length; length++) {
    for (const space of [0, 1, next.length, 300_000]) {
      const directory = temporary(t)
      leave(
        directory,
        owner(1),
        '00000001.spool',
        Buffer.concat([whole, next.subarray(0, length), Buffer.alloc(space)]),
      )
      const reader = recoverSpool(directory, 'q', owner(1), BY)
      const what = `${length} bytes of a record, ${space} bytes of space`
      assert.deepEqual(
        reader?.items.map(({ json }) => json),
        ['1', '2'],
        what,
      )
      assert.deepEqual(reader?.damaged, [], what)
      reader?.release()
      assert.equal(readFileSync(join(directory, 'q', owner(1), '00000001.spool')).length, whole.length, what)
    }
  }
})

test('an owner on another machine is taken over only after 15 seconds without a touch', (t) => {
  const directory = temporary(t)
  const elsewhere = owner(1, '00000000')
  leave(directory, elsewhere, '00000001.spool', segment(1))
  assert.equal(recoverSpool(directory, 'q', elsewhere, BY), null)
  assert.deepEqual(listOwners(directory, 'q'), [elsewhere])
  const past = new Date(Date.now() - 16_000)
  utimesSync(join(directory, 'q', elsewhere), past, past)
  assert.equal(recoverSpool(directory, 'q', elsewhere, BY)?.items.length, 1)
})

test('a live owner in another container is not taken over by workers of an arbiter either', (t) => {
  const stateDir = temporary(t)
  const spool = join(stateDir, 'spool')
  const elsewhere = owner(1, '00000000')
  leave(spool, elsewhere, '00000001.spool', segment(1))
  publishWorkerChannel({ stateDir } as WorkerChannel)
  t.after(() => publishWorkerChannel(null))
  assert.equal(recoverSpool(spool, 'q', elsewhere, BY), null)
  assert.deepEqual(readdirSync(join(spool, 'q')), [elsewhere])
})

test('a recovery without items creates no directories', (t) => {
  const directory = temporary(t)
  assert.equal(recoverSpool(directory, 'q', owner(1), BY), null)
  assert.equal(recoverSpool(directory, 'q', BY, BY), null)
  assert.deepEqual(readdirSync(directory), [])
})

test('a portion has the requested number of items, and all portions together have all items', async (t) => {
  const directory = temporary(t)
  leave(directory, owner(1), '00000001.spool', segment(1, 2, 3, 4))
  leave(directory, owner(1), '00000002.spool', segment(5, 6, 7))
  const reader = recoverSpool(directory, 'q', owner(1), BY, { items: 3 })
  assert.ok(reader)
  const [second, third, fourth] = await Promise.all([reader.more(), reader.more(), reader.more()])
  assert.deepEqual(
    [reader.items, second, third, fourth].map((items) => items.map(({ json }) => Number(json))),
    [[1, 2, 3], [4, 5, 6], [7], []],
  )
})

test('a file of another version is moved aside unchanged, and reported', (t) => {
  const directory = temporary(t)
  const bytes = segment(1)
  bytes.writeUInt16LE(7, 8)
  leave(directory, owner(1), '00000001.spool', bytes)
  const reader = recoverSpool(directory, 'q', owner(1), BY)
  assert.deepEqual(reader?.items, [])
  const aside = join(directory, 'q', 'aside', `${owner(1)}-00000001.spool`)
  assert.deepEqual(
    reader?.damaged.map(({ problem, movedTo }) => ({ problem, movedTo })),
    [{ problem: 'other-version', movedTo: aside }],
  )
  assert.deepEqual(readFileSync(aside), bytes)
})

test('the newest 20 damaged files are kept', (t) => {
  const directory = temporary(t)
  for (let number = 1; number <= 30; number++) {
    leave(directory, owner(1), `${String(number).padStart(8, '0')}.spool`, Buffer.from(`garbage ${number}`))
  }
  const reader = recoverSpool(directory, 'q', owner(1), BY)
  assert.equal(reader?.damaged.length, 30)
  const kept = readdirSync(join(directory, 'q', 'aside'))
  assert.equal(kept.length, 20)
})

test('a damaged tail that cannot be moved aside stays, and the items before it are recovered', async (t) => {
  const directory = temporary(t)
  const damaged = Buffer.concat([segment(1, 2), Buffer.alloc(100, 0xee)])
  leave(directory, owner(1), '00000001.spool', damaged)
  writeFileSync(join(directory, 'q', 'aside'), 'in the way')
  const reader = recoverSpool(directory, 'q', owner(1), BY)
  assert.deepEqual(
    reader?.items.map(({ json }) => json),
    ['1', '2'],
  )
  assert.deepEqual(
    reader?.damaged.map(({ problem, movedTo }) => ({ problem, movedTo })),
    [{ problem: 'damaged-tail', movedTo: null }],
  )
  assert.deepEqual(readFileSync(join(directory, 'q', BY, owner(1), '00000001.spool')), damaged)
  rmSync(join(directory, 'q', 'aside'))
  reader?.settle(reader.items.map(({ place }) => place))
  const aside = join(directory, 'q', 'aside', `${owner(1)}-00000001.spool.damaged`)
  await until('it to be set aside', () => existsSync(aside))
  assert.deepEqual(readFileSync(aside), damaged)
})

test('a file that can be neither read nor moved stays in use until a retry succeeds', async (t) => {
  const directory = temporary(t)
  leave(directory, owner(1), '00000001.spool', Buffer.from('garbage'))
  leave(directory, owner(1), '00000002.spool', Buffer.concat([segment(1), Buffer.alloc(100, 0xee)]))
  const inTheWay = join(directory, 'q', 'aside')
  writeFileSync(inTheWay, '')
  const reader = recoverSpool(directory, 'q', owner(1), BY)
  assert.ok(reader)
  reader.settle(reader.items.map(({ place }) => place))
  assert.equal(reader.finish(), false)
  assert.deepEqual(listOwners(directory, 'q'), [BY])
  rmSync(inTheWay)
  reader.retry()
  assert.deepEqual(await reader.more(), [])
  assert.equal(reader.finish(), true)
  assert.deepEqual(
    readdirSync(inTheWay).sort(),
    [1, 2].map((number) => `${owner(1)}-0000000${number}.spool.damaged`),
  )
  assert.equal(reader.damaged.filter(({ movedTo }) => movedTo !== null).length, 2)
  assert.deepEqual(listOwners(directory, 'q'), [])
})
