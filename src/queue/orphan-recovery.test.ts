import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { until } from '../../test/process/support/until.ts'
import type { QueueItem } from './batch.ts'
import { CrashMarkers } from './crash-markers.ts'
import { OrphanRecovery } from './orphan-recovery.ts'
import { type QueueEvent, QueueEvents } from './queue-events.ts'
import { thisOwner } from './spool/owner.ts'
import { encodeHeader, RecordBuffer } from './spool/segment-format.ts'

const DEAD = `dead-1-1.${thisOwner().slice(-8)}`

/** A segment with this many items. */
function segment(items: number): Buffer {
  const record = new RecordBuffer()
  const parts = [encodeHeader({ queue: 'q', owner: DEAD, created: '2026-01-01T00:00:00.000Z' })]
  for (let number = 0; number < items; number++) {
    const length = record.item(String(number).padStart(26, '0'), String(number))
    parts.push(Buffer.from(record.bytes.subarray(0, length)))
  }
  return Buffer.concat(parts)
}

interface Recovery {
  readonly recovery: OrphanRecovery
  readonly taken: QueueItem[]
  readonly damages: () => readonly QueueEvent['details'][]
  /** Checks `times` times, in separate turns of the event loop. */
  look(times: number): Promise<void>
}

function recoveryOf(
  context: TestContext,
  left: Readonly<Record<string, Buffer>>,
): Recovery & { readonly queue: string } {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-recovery-'))
  const queue = join(directory, 'q')
  mkdirSync(join(queue, DEAD), { recursive: true })
  for (const [name, bytes] of Object.entries(left)) writeFileSync(join(queue, DEAD, name), bytes)
  const taken: QueueItem[] = []
  const events: QueueEvent[] = []
  const recovery = new OrphanRecovery({
    directory,
    queue: 'q',
    backlog: { recovered: 0 },
    markers: new CrashMarkers(join(queue, 'dead'), thisOwner()),
    events: new QueueEvents('q', (event) => void events.push(event)),
  })
  recovery.on('items', (items) => void taken.push(...items))
  context.after(() => {
    recovery.close()
    rmSync(directory, { recursive: true, force: true })
  })
  return {
    recovery,
    taken,
    queue,
    damages: () => events.filter(({ type }) => type === 'damaged').map(({ details }) => details),
    look: async (times) => {
      for (let count = 0; count < times; count++) {
        recovery.check()
        await setImmediate()
      }
    },
  }
}

test('an unreadable file is reported once, and holds up neither the event loop nor other files', async (t) => {
  const { recovery, taken, queue, damages, look } = recoveryOf(t, {
    '00000001.spool': Buffer.from('garbage that is no segment'),
    '00000002.spool': segment(2),
  })
  writeFileSync(join(queue, 'aside'), 'in the way')
  recovery.start()
  await until('the items behind it', () => taken.length === 2)
  for (const item of taken) if (item.source !== null && item.isOnDisk) recovery.settle(item.source, [item])
  await look(100)
  const path = join(queue, thisOwner(), DEAD, '00000001.spool')
  assert.deepEqual(damages(), [{ path, problem: 'damaged', movedTo: null }])
  assert.equal(taken.length, 2)
  recovery.close()
  assert.ok(existsSync(join(queue, DEAD, '00000001.spool')), 'the next may try its luck')
})

test('items before a damaged tail are handled once by a process, however often it checks', async (t) => {
  const { recovery, taken, queue, look } = recoveryOf(t, {
    '00000001.spool': Buffer.concat([segment(3), Buffer.alloc(100, 0xee)]),
  })
  writeFileSync(join(queue, 'aside'), 'in the way')
  recovery.start()
  await until('the items', () => taken.length === 3)
  await look(10)
  for (const item of taken) if (item.source !== null && item.isOnDisk) recovery.settle(item.source, [item])
  await look(100)
  assert.equal(taken.length, 3)
})
