import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { ms } from '../../resilience/duration.ts'
import { ulid } from '../ulid.ts'
import { listOwners, thisOwner } from './owner.ts'
import { type RecoveryReader, recoverSpool } from './recovery-reader.ts'
import type { Place } from './segment.ts'
import { Spool } from './spool.ts'

/** `FUZZ=5000` for the long form. */
const ROUNDS = Number(process.env.FUZZ ?? 30)
const STEPS = 60
const MACHINE = thisOwner().slice(-8)
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)

/** Mulberry32 (T. Ettinger): a failed round can be repeated. */
function randomOf(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

interface Held {
  readonly json: string
  readonly place: Place
  readonly from: { settle(places: readonly Place[]): void }
}

/** What a process knows, apart from its files. */
class Model {
  readonly held = new Map<string, Held>()
  readonly readers: RecoveryReader[] = []
  owner = ''
  spool: Spool | null = null
}

test(`after random appends, settles, recoveries, closes and kills, exactly the unsettled items are there (SEED=${SEED})`, async (t) => {
  for (let round = 0; round < ROUNDS; round++) {
    const directory = mkdtempSync(join(tmpdir(), 'punctual-model-'))
    try {
      await oneRound(directory, randomOf(SEED + round))
    } catch (error) {
      throw new Error(`in the round with SEED=${SEED + round} FUZZ=1`, { cause: error })
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }
  t.diagnostic(`${ROUNDS} rounds of ${STEPS} steps`)
})

/** Files are removed in the background: if one disappears during the copy, the copy is repeated. */
function copyWhole(from: string, to: string): void {
  for (let tries = 1; ; tries++) {
    try {
      cpSync(from, to, { recursive: true })
      return
    } catch (error) {
      if (tries === 20 || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      rmSync(to, { recursive: true, force: true })
    }
  }
}

async function oneRound(root: string, random: (below: number) => number): Promise<void> {
  let model = new Model()
  let life = 0
  let directory = join(root, 'life-0')
  const segmentBytes = [512, 4_096, 65_536][random(3)] as number

  const begin = (): void => {
    life++
    model.owner = `host-${life}-${life}.${MACHINE}`
    model.spool = new Spool({
      directory,
      queue: 'q',
      owner: model.owner,
      durability: random(4) === 0 ? 'disk' : 'process',
      syncEvery: ms(1),
      segmentBytes,
      maxBytes: 1e8,
    })
  }
  /** The next process must recover exactly what the last one had, and has it from then on. */
  const recoverAll = async (expected: ReadonlyMap<string, Held>, repeats: boolean): Promise<void> => {
    const found = new Map<string, Held>()
    for (const owner of listOwners(directory, 'q')) {
      if (owner === model.owner) continue
      const limits = random(2) === 0 ? {} : { items: 1 + random(5), bytes: 1 + random(2_000) }
      const reader = recoverSpool(directory, 'q', owner, model.owner, limits)
      if (reader === null) continue
      model.readers.push(reader)
      for (let items = reader.items; items.length > 0; items = await reader.more()) {
        for (const { id, json, place } of items) {
          assert.ok(!found.has(id), `${id} is found twice`)
          found.set(id, { json, place, from: reader })
        }
      }
      assert.deepEqual(reader.damaged, [])
    }
    for (const [id, { json }] of expected) assert.equal(found.get(id)?.json, json, `${id} is lost`)
    if (!repeats) assert.equal(found.size, expected.size, 'what was settled comes back')
    for (const [id, held] of found) model.held.set(id, held)
  }

  begin()
  for (let step = 0; step < STEPS; step++) {
    const { spool, held } = model
    const act = random(20)
    if (act < 10) {
      for (let count = 1 + random(30); count > 0; count--) {
        const [id, json] = [ulid(), JSON.stringify('é'.repeat(random(200)))]
        const place = spool?.append(id, json) ?? null
        if (place !== null && spool !== null) held.set(id, { json, place, from: spool })
      }
    } else if (act < 16) {
      const oldest = random(3) > 0
      const chosen = [...held].filter(() => oldest || random(2) === 0).slice(0, random(60))
      const places = new Map<Held['from'], Place[]>()
      for (const [id, { place, from }] of chosen) {
        held.delete(id)
        const those = places.get(from) ?? []
        those.push(place)
        places.set(from, those)
      }
      for (const [from, those] of places) from.settle(those)
    } else if (act < 18) {
      await turn()
      await turn()
    } else {
      const killed = random(2) === 0
      const degraded = spool?.state.state !== 'ok'
      const before = model
      if (killed) {
        // A copy of the present state: operations in progress do not end in it.
        const copy = join(root, `life-${life + 1}`)
        copyWhole(directory, copy)
        directory = copy
      }
      if (!killed || random(2) === 0) {
        for (const reader of model.readers) reader.release()
        await spool?.close()
      } else spool?.closeSync()
      model = new Model()
      begin()
      await recoverAll(before.held, degraded)
    }
  }
  // Everything is settled: nothing may be left.
  const { held, spool, readers } = model
  for (const { place, from } of held.values()) from.settle([place])
  for (const reader of readers) reader.release()
  await spool?.close()
  assert.deepEqual(readdirSync(join(directory, 'q')), [])
}
