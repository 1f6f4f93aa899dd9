import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { durableQueue, type QueueEvent } from '../../../src/queue/index.ts'
import { until } from '../support/until.ts'

const KIB = 1024

const PAYLOAD = 'x'.repeat(KIB)

interface Disk {
  readonly path: string
  unmount(): void
}

/** Mounts a small file system; undefined if this user may not. */
function mountSmall(): Disk | undefined {
  const path = mkdtempSync(join(tmpdir(), 'punctual-disk-'))
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', path])
  if (mounted.status !== 0) {
    rmSync(path, { recursive: true })
    return undefined
  }
  return {
    path,
    unmount: () => {
      // Mounts on top of it first.
      while (spawnSync('umount', ['-l', path]).status === 0);
      rmSync(path, { recursive: true })
    },
  }
}

for (const fault of ['full', 'read-only'] as const) {
  test(`with a disk that becomes ${fault}, pushes succeed, one event is reported, and items in memory are written once it works`, async (t) => {
    const disk = mountSmall()
    if (disk === undefined) {
      t.skip('a file system can be mounted by root only')
      return
    }
    const events: QueueEvent[] = []
    const ofType = (type: string): readonly QueueEvent[] => events.filter((event) => event.type === type)
    const held = Promise.withResolvers<void>()
    const seen: number[] = []
    const log = durableQueue<{ n: number; payload: string }>(
      `disk-${fault}`,
      async (items) => {
        await held.promise
        seen.push(...items.map(({ n }) => n))
      },
      { stateDir: disk.path, timeout: 'unbounded', maxItems: 20_000, onEvent: (event) => events.push(event) },
    )
    try {
      let next = 0
      const push = (): boolean => log.push({ n: next++, payload: PAYLOAD }) === 'persisted'
      for (let n = 0; n < 1_000; n++) push()
      // A machine that pauses for half a second makes it degrade too.
      await until('all to be on disk', () => log.stats().degraded === null && log.stats().inMemory === 0)
      events.length = 0
      const filler = join(disk.path, 'filler')
      if (fault === 'full') {
        for (let chunks = 0; ; chunks++) {
          try {
            writeFileSync(filler, Buffer.alloc(64 * KIB), { flag: 'a' })
          } catch {
            break
          }
          assert.ok(chunks < 512, 'a small disk is full at some time')
        }
      } else {
        // An open file keeps its file system writable, but not a bind mount over it: the next
        // segment cannot be created.
        assert.equal(spawnSync('mount', ['--bind', disk.path, disk.path]).status, 0)
        // mount reads a table that other tests change, and may miss the entry.
        const remount = ['-o', 'remount,bind,ro', disk.path]
        await until('the disk to be read-only', () => spawnSync('mount', remount).status === 0)
      }
      await until('the queue to degrade', () => {
        for (let n = 0; n < 200; n++) push()
        return log.stats().degraded !== null
      })
      assert.equal(log.push({ n: next++, payload: PAYLOAD }), 'memory')
      await until('the event', () => ofType('degraded').length === 1)
      assert.equal(ofType('degraded')[0]?.details.reason, fault === 'full' ? 'ENOSPC' : 'EROFS')
      assert.ok(log.stats().inMemory > 0)
      assert.equal(log.stats().depth, next)
      if (fault === 'full') rmSync(filler)
      else await until('the mount to be gone', () => spawnSync('umount', ['-l', disk.path]).status === 0)
      await until('it to recover', () => log.stats().degraded === null && log.stats().inMemory === 0)
      assert.equal(ofType('recovered').length, 1)
      await until('an item on disk', push)
      held.resolve()
      assert.equal(await log.flush('30s'), true)
      assert.deepEqual(
        seen,
        Array.from({ length: next }, (_, n) => n),
      )
      assert.deepEqual(log.stats().drops, {})
    } finally {
      held.resolve()
      await log.close()
      disk.unmount()
    }
  })
}
