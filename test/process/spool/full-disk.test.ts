import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { listOwners, thisOwner } from '../../../src/queue/spool/owner.ts'
import { recoverSpool } from '../../../src/queue/spool/recovery-reader.ts'
import type { Place } from '../../../src/queue/spool/segment.ts'
import { Spool, type SpoolState } from '../../../src/queue/spool/spool.ts'
import { ulid } from '../../../src/queue/ulid.ts'
import { ms } from '../../../src/resilience/duration.ts'
import { until } from '../support/until.ts'
import { startProgramAs } from './started-program.ts'

const DISK = 1024 * 1024
const OWNER = `dead-1-1.${thisOwner().slice(-8)}`
const OTHER_USER = 65_534

interface SmallDisk {
  readonly path: string
  /** Closed before it is unmounted: otherwise they would continue in the directory below. */
  readonly spools: Spool[]
  remount(options: string): void
}

/** A file system of one MiB; null if this user may not mount. */
function smallDisk(context: TestContext): SmallDisk | null {
  const path = mkdtempSync(join(tmpdir(), 'punctual-disk-'))
  const mount = (options: string): void => {
    execFileSync('/bin/mount', ['-t', 'tmpfs', '-o', options, 'punctual-test', path], { stdio: 'pipe' })
  }
  try {
    mount(`size=${DISK}`)
  } catch {
    rmSync(path, { recursive: true })
    context.skip('mounting a small tmpfs takes root on Linux')
    return null
  }
  const spools: Spool[] = []
  context.after(() => {
    for (const spool of spools) spool.closeSync()
    // Lazily: open files disappear with their descriptors.
    execFileSync('/bin/umount', ['-l', path])
    rmSync(path, { recursive: true })
  })
  return { path, spools, remount: (options) => mount(`remount,${options}`) }
}

function open({ path, spools }: SmallDisk, states: SpoolState[]): Spool {
  const spool = new Spool({
    directory: path,
    queue: 'q',
    owner: OWNER,
    durability: 'process',
    syncEvery: ms(10),
    segmentBytes: 64 * 1024,
    maxBytes: 64 * 1024 * 1024,
  })
  spool.on('state', (state) => void states.push(state))
  spools.push(spool)
  return spool
}

for (const size of [200, 30_000]) {
  test(`when the disk is full with items of ${size} bytes, accepted items are intact, and the spool recovers once there is space`, async (t) => {
    const disk = smallDisk(t)
    if (disk === null) return
    const states: SpoolState[] = []
    const spool = open(disk, states)
    const taken = new Map<string, { readonly json: string; readonly place: Place }>()
    const append = (): boolean => {
      const [id, json] = [ulid(), JSON.stringify('x'.repeat(size + (taken.size % 7)))]
      const place = spool.append(id, json)
      if (place !== null) taken.set(id, { json, place })
      return place !== null
    }
    await until('the disk to be full', async () => {
      // In small bursts: without turns of the event loop, one segment takes everything.
      for (let bytes = 0; bytes < 60_000; bytes += size) append()
      return states.some((state) => state.state === 'degraded' && state.reason === 'ENOSPC')
    })
    assert.ok(spool.bytes > DISK / 2)
    assert.equal(append(), false)

    // Settling items while the disk is full frees space.
    const ids = [...taken.keys()]
    const settled = ids.slice(0, Math.floor(ids.length * 0.7))
    spool.settle(settled.map((id) => (taken.get(id) as { place: Place }).place))
    for (const id of settled) taken.delete(id)
    await until('it to go on', append)
    assert.equal(spool.state.state, 'ok')
    await spool.close()
    const adopted = recoverSpool(disk.path, 'q', OWNER, thisOwner())
    assert.deepEqual(adopted?.damaged, [])
    assert.deepEqual(
      adopted?.items.map(({ id, json }) => [id, json]),
      [...taken].map(([id, { json }]) => [id, json]),
    )
    adopted?.settle(adopted.items.map(({ place }) => place))
    adopted?.release()
    assert.deepEqual(readdirSync(join(disk.path, 'q', thisOwner())), [])
  })
}

test('a spool on a read-only file system starts degraded, and works once that is writable', async (t) => {
  const disk = smallDisk(t)
  if (disk === null) return
  mkdirSync(join(disk.path, 'q'))
  disk.remount('ro')
  const states: SpoolState[] = []
  const spool = open(disk, states)
  assert.equal(spool.state.state === 'degraded' && spool.state.reason, 'EROFS')
  assert.equal(spool.append(ulid(), '{}'), null)
  disk.remount('rw')
  await until('an item to be taken', () => spool.append(ulid(), '{}') ?? undefined)
  assert.deepEqual(
    states.map(({ state }) => state),
    ['degraded', 'ok'],
  )
})

test('items on a full disk are recovered, intact and once', async (t) => {
  const disk = smallDisk(t)
  if (disk === null) return
  const spool = open(disk, [])
  let taken = 0
  await until('some items to be taken', async () => {
    for (let count = 0; count < 100; count++) if (spool.append(ulid(), '{"some":"item"}') !== null) taken++
    return taken > 1_000
  })
  await spool.close()
  const filler = join(disk.path, 'filler')
  assert.throws(() => writeFileSync(filler, Buffer.alloc(DISK)), /ENOSPC/)
  assert.ok(statSync(filler).size > 0)
  const first = recoverSpool(disk.path, 'q', OWNER, `next-2-2.${OWNER.slice(-8)}`)
  assert.equal(first?.items.length, taken)
  first?.settle(first.items.map(({ place }) => place))
  first?.release()
  assert.deepEqual(listOwners(disk.path, 'q'), [])
})

test('a directory that becomes read-only midway loses no persisted item', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-chmod-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const user = process.getuid?.() === 0 ? OTHER_USER : null
  if (user !== null) chownSync(directory, user, user)
  const program = await startProgramAs(t, user, 'append-forever', directory, '4096')
  const takenSoFar = (): number => program.printed().split('\n+').length
  await until('items to be taken', () => takenSoFar() > 50)
  const home = join(directory, 'q', listOwners(directory, 'q')[0] ?? '')
  chmodSync(home, 0o500)
  // It fills its present segments, and cannot create another.
  await until('it to have gone on', async () => {
    const before = takenSoFar()
    await new Promise((resolve) => setTimeout(resolve, 300))
    return takenSoFar() === before
  })
  chmodSync(home, 0o700)
  const before = takenSoFar()
  await until('it to go on again', () => takenSoFar() > before + 50)
  await program.kill()

  const lines = program.printed().split('\n').slice(0, -1)
  const settled = new Set(lines.filter((line) => line.startsWith('-')).map((line) => line.slice(1)))
  const taken = lines.filter((line) => line.startsWith('+')).map((line) => line.slice(1))
  const [owner = ''] = listOwners(directory, 'q')
  const found = new Set(recoverSpool(directory, 'q', owner, thisOwner())?.items.map(({ id }) => id))
  assert.deepEqual(
    taken.filter((id) => !found.has(id) && !settled.has(id)),
    [],
  )
})
