import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { thisOwner } from './owner.ts'
import { type RecoveryReader, recoverSpool } from './recovery-reader.ts'
import { encodeHeader, RECORD_HEAD, RecordBuffer } from './segment-format.ts'

/** `FUZZ=20000` for the long form. */
const ROUNDS = Number(process.env.FUZZ ?? 500)
const OWNER = `dead-1-1.${thisOwner().slice(-8)}`
const BY = `living-2-2.${thisOwner().slice(-8)}`
const HEADER = encodeHeader({ queue: 'q', owner: OWNER, created: '2026-01-01T00:00:00.000Z' })

const random = (below: number): number => Math.floor(Math.random() * below)
const idOf = (number: number): string => String(number).padStart(26, '0')

interface Written {
  readonly id: string
  readonly json: string
  /** Where its record ends. */
  readonly end: number
}

/** A segment with items, some of them settled; half of the segments have preallocated space. */
function segment(): {
  readonly bytes: Buffer
  /**
   * Where its last record begins, if that has space behind it or is about settled items: a change
   * from there on may look as if the writer had died.
   */
  readonly last: number
  readonly items: readonly Written[]
  readonly settled: ReadonlyMap<string, number>
} {
  const record = new RecordBuffer()
  const parts = [HEADER]
  const items: Written[] = []
  const settled = new Map<string, number>()
  let size = HEADER.length
  let last = 0
  const add = (length: number): void => {
    parts.push(Buffer.from(record.bytes.subarray(0, length)))
    last = size
    size += length
  }
  for (let number = 0; number < 1 + random(40); number++) {
    const json = JSON.stringify({ number, text: 'ü'.repeat(random(12) === 0 ? random(40_000) : random(100)) })
    add(record.item(idOf(number), json))
    items.push({ id: idOf(number), json, end: size })
    if (random(5) === 0) {
      const from = random(items.length)
      const count = 1 + random(items.length - from)
      add(record.settled([from, count], 0).length)
      for (const { id } of items.slice(from, from + count)) if (!settled.has(id)) settled.set(id, size)
    }
  }
  if (random(2) === 0) {
    const isItem = items.at(-1)?.end === size
    return { bytes: Buffer.concat(parts), last: isItem ? Number.POSITIVE_INFINITY : last, items, settled }
  }
  return { bytes: Buffer.concat([...parts, Buffer.alloc(1 + random(20_000))]), last, items, settled }
}

/** Where two files begin to differ. Zeros over zeros leave a record intact. */
function firstDifference(one: Buffer, other: Buffer): number {
  const both = Math.min(one.length, other.length)
  for (let at = 0; at < both; at++) if (one[at] !== other[at]) return at
  return both
}

/** Changes bytes from a random position on. */
function spoil(bytes: Buffer): { readonly spoilt: Buffer; readonly how: string } {
  const at = random(bytes.length)
  const copy = Buffer.from(bytes)
  const garbage = Buffer.from(Array.from({ length: 1 + random(100) }, () => random(256)))
  switch (random(7)) {
    case 0:
      return { spoilt: copy.subarray(0, at), how: `cut at ${at}` }
    case 1:
      copy[at] = (copy[at] as number) ^ (1 << random(8))
      return { spoilt: copy, how: `bit flipped at ${at}` }
    case 2:
      garbage.copy(copy, at)
      return { spoilt: copy, how: `${garbage.length} bytes of garbage over ${at}` }
    case 3:
      return {
        spoilt: Buffer.concat([copy.subarray(0, at), garbage, copy.subarray(at)]),
        how: `${garbage.length} bytes of garbage put in at ${at}`,
      }
    case 4:
      return { spoilt: Buffer.concat([copy, garbage]), how: `garbage behind the end` }
    case 5:
      return {
        spoilt: Buffer.concat([copy.subarray(0, at), Buffer.alloc(random(400_000))]),
        how: `zeros from ${at} on`,
      }
    default:
      copy.fill(0xff, at, Math.min(at + 8, copy.length))
      return { spoilt: copy, how: `a huge length at ${at}` }
  }
}

/** Recovers the only file of a dead owner. */
function recovered(root: string, bytes: Buffer): RecoveryReader | null {
  const home = join(root, 'q', OWNER)
  mkdirSync(home, { recursive: true })
  writeFileSync(join(home, '00000001.spool'), bytes)
  return recoverSpool(root, 'q', OWNER, BY)
}

test(`of ${ROUNDS} files that are truncated, flipped or full of garbage, the intact items before the damage are recovered and the rest is moved aside`, (t) => {
  let setAside = 0
  let before = process.memoryUsage().rss
  for (let round = 0; round < ROUNDS; round++) {
    const { bytes, last, items, settled } = segment()
    const { spoilt, how } = spoil(bytes)
    const from = firstDifference(bytes, spoilt)
    const root = mkdtempSync(join(tmpdir(), 'punctual-fuzz-'))
    try {
      const reader = recovered(root, spoilt)
      const found = new Map(reader?.items.map(({ id, json }) => [id, json]))
      const whole = items.filter(({ end }) => end <= from)
      for (const { id, json } of whole) {
        // The record that settles it may be behind the damage; it is then handled once more.
        const settledAt = settled.get(id)
        if (settledAt === undefined || settledAt > from) assert.equal(found.get(id), json, `item ${id} is lost`)
        else assert.ok(!found.has(id), `item ${id} was settled and comes back`)
      }
      const known = new Map(items.map(({ id, json }) => [id, json]))
      for (const [id, json] of found) assert.equal(json, known.get(id), `item ${id} was never written`)
      const order = [...found.keys()]
      assert.deepEqual(order, order.toSorted())

      const aside = join(root, 'q', 'aside')
      const files = existsSync(aside) ? readdirSync(aside) : []
      assert.equal(files.length, reader?.damaged.length ?? 0)
      for (const [index, file] of files.entries()) {
        assert.equal(reader?.damaged[index]?.movedTo, join(aside, file))
        assert.ok(file.endsWith('.damaged') || statSync(join(aside, file)).size === spoilt.length)
      }
      // Less than the head of a record behind the last one may be an unfinished write.
      const stub = spoilt.subarray(0, bytes.length).equals(bytes) && spoilt.length - bytes.length < RECORD_HEAD
      if (how.startsWith('cut')) {
        if (from >= HEADER.length) assert.deepEqual(files, [], 'what its writer did not finish is no damage')
      } else if (from < last && !how.startsWith('zeros') && !stub && !spoilt.equals(bytes))
        assert.equal(files.length, 1)
      setAside += files.length

      reader?.settle(reader.items.map(({ place }) => place))
      reader?.release()
      assert.deepEqual(readdirSync(join(root, 'q', BY)), [])
    } catch (error) {
      writeFileSync(join(tmpdir(), 'punctual-fuzz-failed.spool'), spoilt)
      throw new Error(`${how}, of ${bytes.length} bytes; the file is ${join(tmpdir(), 'punctual-fuzz-failed.spool')}`, {
        cause: error,
      })
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
    if (round === 50) before = process.memoryUsage().rss
  }
  assert.ok(process.memoryUsage().rss - before < 300e6, 'a length full of garbage is not believed')
  t.diagnostic(`${setAside} set aside`)
})
