import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { until } from '../../../test/process/support/until.ts'
import { ms } from '../../resilience/duration.ts'
import { ulid } from '../ulid.ts'
import { listOwners, thisOwner } from './owner.ts'
import { type RecoveredItem, recoverSpool } from './recovery-reader.ts'
import type { Place } from './segment.ts'
import { Spool, type SpoolOptions, type SpoolState } from './spool.ts'

const OWNER = `dead-1-1.${thisOwner().slice(-8)}`
const BY = `living-2-2.${thisOwner().slice(-8)}`

function temporary(context: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-spool-'))
  context.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

function open(
  context: TestContext,
  directory: string,
  { onState, ...options }: Partial<SpoolOptions> & { readonly onState?: (state: SpoolState) => void } = {},
): Spool {
  const spool = new Spool({
    directory,
    queue: 'q',
    owner: OWNER,
    durability: 'process',
    syncEvery: ms(5),
    maxBytes: 64 * 1024 * 1024,
    ...options,
  })
  if (onState !== undefined) spool.on('state', onState)
  context.after(() => spool.closeSync())
  return spool
}

/** Appends until the item is taken: a pause of the machine makes a spool degrade. */
async function append(spool: Spool, json: string, id = ulid()): Promise<Place> {
  return await until('an item to be spooled', () => spool.append(id, json) ?? undefined)
}

async function appendAll(spool: Spool, count: number, from = 0): Promise<Place[]> {
  const places: Place[] = []
  for (let number = from; number < from + count; number++) {
    places.push(await append(spool, JSON.stringify({ number, filler: 'x'.repeat(100) })))
    // Segments are created between turns of the event loop.
    if (number % 20 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  return places
}

const numbers = (items: readonly RecoveredItem[]): number[] =>
  items.map(({ json }) => (JSON.parse(json) as { number: number }).number)
const range = (from: number, end: number): number[] => Array.from({ length: end - from }, (_, index) => from + index)
const segmentsOf = (directory: string): string[] =>
  existsSync(directory)
    ? readdirSync(directory, { recursive: true })
        .map(String)
        .filter((name) => name.endsWith('.spool'))
    : []

test('appended items are recovered in order and unchanged', async (t) => {
  const directory = temporary(t)
  const spool = open(t, directory)
  const items = ['{}', '"Grüße, 世界 🌍"', JSON.stringify('x'.repeat(300_000)), '[1,2]'].map((json) => ({
    id: ulid(),
    json,
  }))
  for (const { id, json } of items) await append(spool, json, id)
  await spool.close()
  assert.deepEqual(listOwners(directory, 'q'), [OWNER])
  const reader = recoverSpool(directory, 'q', OWNER, BY)
  assert.deepEqual(
    reader?.items.map(({ id, json }) => ({ id, json })),
    items,
  )
  assert.deepEqual(reader?.damaged, [])
})

test('settled items are not recovered, and their files are removed', async (t) => {
  const directory = temporary(t)
  const spool = open(t, directory, { segmentBytes: 4_096 })
  const places: Place[] = []
  await until('some segments', async () => {
    places.push(...(await appendAll(spool, 50, places.length)))
    return segmentsOf(directory).length > 4
  })
  const first = join(directory, 'q', OWNER, '00000001.spool')
  assert.ok(existsSync(first))
  const end = places.length
  spool.settle(places.filter((_, number) => number < end - 50 || number % 7 === 0))
  await until('the first segment to go', () => !existsSync(first))
  await spool.close()
  const reader = recoverSpool(directory, 'q', OWNER, BY)
  assert.deepEqual(
    numbers(reader?.items ?? []),
    range(end - 50, end).filter((number) => number % 7 !== 0),
  )
})

test('a spool whose items are all settled leaves nothing behind', async (t) => {
  const directory = temporary(t)
  const spool = open(t, directory, { segmentBytes: 4_096 })
  const places = await appendAll(spool, 200)
  for (const place of places.toReversed()) spool.settle([place, place])
  await spool.close()
  assert.deepEqual(readdirSync(join(directory, 'q')), [])
  assert.equal(recoverSpool(directory, 'q', OWNER, BY), null)
  assert.deepEqual(readdirSync(join(directory, 'q')), [])
})

test('a segment grows while the event loop is blocked, and append never waits for the next one', async (t) => {
  const directory = temporary(t)
  const spool = open(t, directory, { segmentBytes: 4_096 })
  await append(spool, '{"number":0}')
  let taken = 1
  for (let number = 1; number < 1_000; number++) if (spool.append(ulid(), `{"number":${number}}`) !== null) taken++
  assert.ok(statSync(join(directory, 'q', OWNER, '00000001.spool')).size > 40_000)
  await until('the next segment to be made', async () => {
    if (spool.append(ulid(), `{"number":${taken}}`) !== null) taken++
    return segmentsOf(directory).length > 1
  })
  await spool.close()
  assert.equal(recoverSpool(directory, 'q', OWNER, BY)?.items.length, taken)
})

test('items beyond maxBytes are refused until others are settled', async (t) => {
  const spool = open(t, temporary(t), { maxBytes: 1_000 })
  const first = await append(spool, JSON.stringify('x'.repeat(598)))
  assert.equal(spool.append(ulid(), JSON.stringify('x'.repeat(399))), null)
  assert.ok(await append(spool, JSON.stringify('x'.repeat(398))))
  spool.settle([first])
  assert.ok(await append(spool, JSON.stringify('x'.repeat(598))))
  assert.ok(spool.bytes > 1_600)
})

test('an id that does not have 26 characters is refused', (t) => {
  const spool = open(t, temporary(t))
  assert.equal(spool.append('short', '{}'), null)
})

test('with durability disk, synced resolves when the items are synced, and not before', async (t) => {
  const spool = open(t, temporary(t), { durability: 'disk', syncEvery: ms(3_600_000) })
  await spool.synced()
  await append(spool, '{}')
  let synced = 0
  const both = Promise.all([spool.synced(), spool.synced()].map((one) => one.then(() => synced++)))
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(synced, 0)
  await spool.close()
  await both
  await spool.synced()
})

test('with durability disk, several segments are synced together, again and again', async (t) => {
  const spool = open(t, temporary(t), { durability: 'disk', segmentBytes: 4_096 })
  for (let round = 0; round < 3; round++) {
    await appendAll(spool, 100)
    await until('them to be synced', () => spool.synced().then(() => true))
  }
})

test('a spool whose files are full because of a few items degrades until these are settled', async (t) => {
  const states: SpoolState[] = []
  const onState = (state: SpoolState): void => void states.push(state)
  const spool = open(t, temporary(t), { maxBytes: 2_000, segmentBytes: 4_096, onState })
  const stay: Place[] = []
  await until('the files to be full', async () => {
    for (;;) {
      const place = spool.append(ulid(), JSON.stringify('x'.repeat(50)))
      if (place === null) return spool.state.state === 'degraded' && spool.state.reason === 'files-full'
      // The first item of each segment is not settled.
      if (place.segment === stay.at(-1)?.segment) spool.settle([place])
      else stay.push(place)
      await new Promise((resolve) => setImmediate(resolve))
    }
  })
  assert.ok(states.some((state) => state.state === 'degraded' && state.reason === 'files-full'))
  spool.settle(stay)
  await append(spool, '{}')
  await until('the state event', () => states.at(-1)?.state === 'ok')
})

test('a closed spool takes nothing, and can be closed again', async (t) => {
  const directory = temporary(t)
  const spool = open(t, directory)
  const place = await append(spool, '{"number":1}')
  await spool.close()
  assert.equal(spool.append(ulid(), '{}'), null)
  spool.settle([place])
  await spool.close()
  spool.closeSync()
  assert.deepEqual(numbers(recoverSpool(directory, 'q', OWNER, BY)?.items ?? []), [1])
})

test('closeSync leaves the same as close', async (t) => {
  const directory = temporary(t)
  const spool = open(t, directory, { durability: 'disk', segmentBytes: 4_096 })
  const places = await appendAll(spool, 200)
  spool.settle(places.slice(0, 150))
  spool.closeSync()
  assert.deepEqual(numbers(recoverSpool(directory, 'q', OWNER, BY)?.items ?? []), range(150, 200))
})

test('a second spool of the same owner does not touch the items of the first, and they can be recovered', async (t) => {
  const directory = temporary(t)
  const first = open(t, directory)
  await appendAll(first, 3)
  await first.close()
  const second = open(t, directory)
  await appendAll(second, 2, 3)
  const reader = recoverSpool(directory, 'q', OWNER, OWNER)
  assert.deepEqual(numbers(reader?.items ?? []), [0, 1, 2])
  assert.equal(recoverSpool(directory, 'q', OWNER, OWNER), null, 'it is in hand')
  reader?.settle(reader.items.map(({ place }) => place))
  await second.close()
  reader?.release()
  assert.deepEqual(numbers(recoverSpool(directory, 'q', OWNER, BY)?.items ?? []), [3, 4])
})

test('a file in place of the directory makes the spool degrade with a reason until it is removed', async (t) => {
  const directory = temporary(t)
  const states: SpoolState[] = []
  writeFileSync(join(directory, 'q'), '')
  const spool = open(t, directory, { onState: (state) => void states.push(state) })
  assert.equal(spool.state.state, 'degraded')
  assert.equal(spool.append(ulid(), '{}'), null)
  await until('the state event', () => states.length > 0)
  assert.match((states[0] as { reason: string }).reason, /^(EEXIST|ENOTDIR)$/)
  rmSync(join(directory, 'q'))
  await append(spool, '{"number":1}')
  assert.equal(spool.state.state, 'ok')
  assert.deepEqual(
    states.map(({ state }) => state),
    ['degraded', 'ok'],
  )
  await spool.close()
  assert.deepEqual(numbers(recoverSpool(directory, 'q', OWNER, BY)?.items ?? []), [1])
})

test('a directory that is removed midway is noticed, and its segments are restored', async (t) => {
  const directory = temporary(t)
  const states: string[] = []
  const spool = open(t, directory, { segmentBytes: 4_096, onState: ({ state }) => void states.push(state) })
  const places = await appendAll(spool, 200)
  spool.settle(places.slice(0, 10))
  rmSync(join(directory, 'q'), { recursive: true })
  await until('it to be noticed', () => states.includes('degraded'))
  spool.settle(places.slice(10, 20))
  await append(spool, '{"number":200}')
  await spool.close()
  assert.deepEqual(numbers(recoverSpool(directory, 'q', OWNER, BY)?.items ?? []), range(20, 201))
})

test('a directory that is replaced by a file midway makes the spool degrade until the file is removed', async (t) => {
  const directory = temporary(t)
  const spool = open(t, directory)
  await appendAll(spool, 50)
  rmSync(join(directory, 'q'), { recursive: true })
  writeFileSync(join(directory, 'q'), '')
  await until('it to be noticed', () => spool.state.state === 'degraded')
  assert.equal(spool.append(ulid(), '{}'), null)
  rmSync(join(directory, 'q'))
  await append(spool, '{"number":50}')
  await spool.close()
  assert.deepEqual(numbers(recoverSpool(directory, 'q', OWNER, BY)?.items ?? []), range(0, 51))
})

test('other users cannot read the spool', async (t) => {
  const directory = temporary(t)
  const spool = open(t, directory)
  await append(spool, '{}')
  const home = join(directory, 'q', OWNER)
  assert.equal(statSync(home).mode & 0o77, 0)
  for (const name of segmentsOf(directory)) assert.equal(statSync(join(directory, name)).mode & 0o77, 0)
  assert.match(readFileSync(join(home, '00000001.spool'), 'latin1'), /^PUNCTSPL/)
})
