import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { until } from '../../test/process/support/until.ts'
import type { QueueEvent } from './defer-events.ts'
import type { DeferredItem } from './deferred-item.ts'
import { HandlingMarks } from './handling-marks.ts'
import { Inheritance } from './inheritance.ts'
import { thisOwner } from './spool/owner.ts'
import { encodeHeader, RecordBuffer } from './spool/segment-format.ts'

const DEAD = `dead-1-1.${thisOwner().slice(-8)}`

/** A segment with as many items. */
function segment(items: number): Buffer {
  const record = new RecordBuffer()
  const parts = [encodeHeader({ queue: 'q', owner: DEAD, created: '2026-01-01T00:00:00.000Z' })]
  for (let number = 0; number < items; number++) {
    const length = record.item(String(number).padStart(26, '0'), String(number))
    parts.push(Buffer.from(record.bytes.subarray(0, length)))
  }
  return Buffer.concat(parts)
}

interface Heir {
  readonly inheritance: Inheritance
  readonly taken: DeferredItem[]
  readonly damages: () => readonly QueueEvent['details'][]
  /** Looks as often as it is told to, while the event loop turns. */
  look(times: number): Promise<void>
}

function heirOf(context: TestContext, left: Readonly<Record<string, Buffer>>): Heir & { readonly queue: string } {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-inheritance-'))
  const queue = join(directory, 'q')
  mkdirSync(join(queue, DEAD), { recursive: true })
  for (const [name, bytes] of Object.entries(left)) writeFileSync(join(queue, DEAD, name), bytes)
  const taken: DeferredItem[] = []
  const events: Omit<QueueEvent, 'queue'>[] = []
  const inheritance = new Inheritance({
    directory,
    queue: 'q',
    waiting: () => 0,
    take: (items) => taken.push(...items),
    marks: new HandlingMarks(join(queue, 'dead'), thisOwner()),
    tell: (event) => events.push(event),
  })
  context.after(() => {
    inheritance.close()
    rmSync(directory, { recursive: true, force: true })
  })
  return {
    inheritance,
    taken,
    queue,
    damages: () => events.filter(({ type }) => type === 'damaged').map(({ details }) => details),
    look: async (times) => {
      for (let count = 0; count < times; count++) {
        inheritance.look()
        await setImmediate()
      }
    },
  }
}

test('what can be neither read nor set aside is told once, and holds up neither the event loop nor what else was left', async (t) => {
  const { inheritance, taken, queue, damages, look } = heirOf(t, {
    '00000001.spool': Buffer.from('garbage that is no segment'),
    '00000002.spool': segment(2),
  })
  writeFileSync(join(queue, 'aside'), 'in the way')
  inheritance.begin()
  await until('the items behind it', () => taken.length === 2)
  for (const item of taken) if (item.legacy !== null && item.isOnDisk) inheritance.settle(item.legacy, [item])
  await look(100)
  const path = join(queue, thisOwner(), DEAD, '00000001.spool')
  assert.deepEqual(damages(), [{ path, problem: 'damaged', movedTo: null }])
  assert.equal(taken.length, 2)
  inheritance.close()
  assert.ok(existsSync(join(queue, DEAD, '00000001.spool')), 'the next may try its luck')
})

test('items before damage that cannot be set aside are handled once by a process, however often it looks', async (t) => {
  const { inheritance, taken, queue, look } = heirOf(t, {
    '00000001.spool': Buffer.concat([segment(3), Buffer.alloc(100, 0xee)]),
  })
  writeFileSync(join(queue, 'aside'), 'in the way')
  inheritance.begin()
  await until('the items', () => taken.length === 3)
  await look(10)
  for (const item of taken) if (item.legacy !== null && item.isOnDisk) inheritance.settle(item.legacy, [item])
  await look(100)
  assert.equal(taken.length, 3)
})
