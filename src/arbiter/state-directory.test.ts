import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { PunctualError } from '../errors/punctual-error.ts'
import { isAlive, type LockHolder, parseHolder, thisHolder } from './lock-holder.ts'
import { controlSocketPath, openStateDirectory } from './state-directory.ts'

let parent = ''
let path = ''

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'punctual-state-'))
  path = join(parent, 'a', '.punctual')
})
afterEach(() => rmSync(parent, { recursive: true, force: true }))

const lockFile = (): string => join(path, 'arbiter.lock')

/** Creates the lock of another arbiter. `age` in seconds since its last update. */
function leaveLock(given: Partial<LockHolder>, age = 0): LockHolder {
  const holder = { ...thisHolder(), ...given }
  mkdirSync(path, { recursive: true })
  writeFileSync(lockFile(), JSON.stringify(holder))
  const touched = Date.now() / 1_000 - age
  utimesSync(lockFile(), touched, touched)
  return holder
}

const refused = (code: string, details: Readonly<Record<string, unknown>>) => (error: unknown) => {
  assert.ok(error instanceof PunctualError, String(error))
  assert.equal(error.code, code)
  assert.equal(error.exitCode, 2)
  assert.partialDeepStrictEqual(error.details, details)
  return true
}

/** A pid that no process has: Linux and macOS use smaller ones. */
const UNUSED_PID = 2 ** 30

test('a missing directory is created with its parents, for its user only', async () => {
  const directory = await openStateDirectory(path)
  assert.equal(statSync(path).mode & 0o777, 0o700)
  assert.equal(statSync(lockFile()).mode & 0o777, 0o600)
  assert.equal(parseHolder(readFileSync(lockFile(), 'utf8'))?.pid, process.pid)
  await directory.release()
  assert.deepEqual(readdirSync(path), [])
})

test('a second arbiter is refused with the pid of the first, and leaves no files', async () => {
  const directory = await openStateDirectory(path)
  await assert.rejects(
    openStateDirectory(path),
    refused('PUNCTUAL_STATE_DIR_LOCKED', { stateDir: path, pid: process.pid, hostname: hostname() }),
  )
  assert.deepEqual(readdirSync(path), ['arbiter.lock'])
  await directory.release()
  await (await openStateDirectory(path)).release()
})

describe('a stale lock is taken over', () => {
  const stale: readonly (readonly [string, Partial<LockHolder>])[] = [
    ['whose process has exited', { pid: UNUSED_PID, startTicks: null }],
    ['whose pid belongs to another process now', { startTicks: 1 }],
    ['from before the machine booted', { bootId: 'ffffffff-0000-0000-0000-000000000000' }],
  ]
  for (const [which, holder] of stale) {
    test(which, async (context) => {
      if (process.platform !== 'linux' && holder.pid === undefined) return context.skip('needs /proc')
      leaveLock({ token: 'aaaa', ...holder })
      const directory = await openStateDirectory(path)
      assert.notEqual(parseHolder(readFileSync(lockFile(), 'utf8'))?.token, 'aaaa')
      await directory.release()
      assert.deepEqual(readdirSync(path), [])
    })
  }

  test('whose file is damaged', async () => {
    for (const text of ['', '\0\0\0\0', '{"pid":', '[]', '{"token":"../../x","pid":1,"hostname":"h"}']) {
      mkdirSync(path, { recursive: true })
      writeFileSync(lockFile(), text)
      await (await openStateDirectory(path)).release()
    }
  })

  test('by exactly one of many that try at the same time', async () => {
    for (let round = 0; round < 5; round += 1) {
      leaveLock({ token: `dead-${round}`.replaceAll(/[^0-9a-f-]/g, '0'), pid: UNUSED_PID, startTicks: null })
      const tries = await Promise.allSettled(Array.from({ length: 12 }, () => openStateDirectory(path)))
      const won = tries.filter((one) => one.status === 'fulfilled')
      assert.equal(won.length, 1)
      await won[0]?.value.release()
      assert.deepEqual(readdirSync(path), [])
    }
  })

  test('also if a process died while taking it and left its claim', async () => {
    leaveLock({ token: 'dead', pid: UNUSED_PID, startTicks: null })
    writeFileSync(
      `${lockFile()}.dead`,
      JSON.stringify({ ...thisHolder(), token: 'deaf', pid: UNUSED_PID, startTicks: null }),
    )
    const directory = await openStateDirectory(path)
    await directory.release()
    assert.deepEqual(readdirSync(path), [])
  })
})

describe('the lock of another machine', () => {
  const elsewhere = { hostname: 'elsewhere', bootId: 'ffffffff-0000-0000-0000-000000000000', pid: UNUSED_PID }

  test('is valid while it is updated, and the error names its host', async (context) => {
    leaveLock(elsewhere, 5)
    const updates = setInterval(() => utimesSync(lockFile(), new Date(), new Date()), 400)
    context.after(() => clearInterval(updates))
    await assert.rejects(
      openStateDirectory(path),
      refused('PUNCTUAL_STATE_DIR_LOCKED', { stateDir: path, pid: UNUSED_PID, hostname: 'elsewhere' }),
    )
  })

  test('is stale if it was not updated for 15 s', async () => {
    leaveLock(elsewhere, 20)
    await (await openStateDirectory(path)).release()
  })
})

test('a holder in another container of the same kernel is checked through its control socket', async (context) => {
  if (process.platform !== 'linux') return context.skip('needs /proc')
  const since = new Date(Date.now() - 60_000).toISOString()
  const holder = { ...thisHolder(), pidNamespace: 'pid:[1]', since }
  const socket = join(parent, 's')
  assert.equal(await isAlive(holder, Date.now(), socket), false, 'no listener')
  assert.equal(
    await isAlive({ ...holder, since: new Date().toISOString() }, Date.now(), socket),
    'unknown',
    'too young to tell',
  )
  const server = createServer((client) => client.destroy())
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  assert.equal(await isAlive(holder, Date.now(), socket), true, 'a listener')
  await new Promise((resolve) => server.close(resolve))
})

test('the lock of a container that was killed right after its start is taken within 15 s of that', async (context) => {
  if (process.platform !== 'linux') return context.skip('needs /proc')
  leaveLock({ ...thisHolder(), pidNamespace: 'pid:[1]', since: new Date(Date.now() - 14_000).toISOString() }, 1)
  const waits: unknown[] = []
  const directory = await openStateDirectory(path, { onWait: ({ pidNamespace }) => waits.push(pidNamespace) })
  assert.deepEqual(waits, ['pid:[1]'])
  await directory.release()
})

test('release does not remove a lock that another arbiter has taken', async () => {
  const directory = await openStateDirectory(path)
  const other = leaveLock({ token: 'bbbb' })
  await directory.release()
  assert.equal(parseHolder(readFileSync(lockFile(), 'utf8'))?.token, other.token)
})

test('leftovers of killed processes are removed once they are old enough', async () => {
  mkdirSync(path, { recursive: true })
  const [old, young, foreign] = ['.arbiter.lock.1.aa.tmp', '.arbiter.lock.2.bb.tmp', 'notes.txt'].map((name) =>
    join(path, name),
  )
  for (const file of [old, young, foreign]) writeFileSync(file ?? '', 'x')
  utimesSync(old ?? '', 1, 1)
  utimesSync(foreign ?? '', 1, 1)
  await (await openStateDirectory(path)).release()
  assert.deepEqual(readdirSync(path).sort(), ['.arbiter.lock.2.bb.tmp', 'notes.txt'])
})

describe('a state directory that cannot be used is an error', () => {
  test('if a file has its path, or that of a parent', async () => {
    writeFileSync(join(parent, 'a'), 'a file')
    await assert.rejects(
      openStateDirectory(path),
      refused('PUNCTUAL_STATE_DIR_UNWRITABLE', { stateDir: path, reason: 'ENOTDIR' }),
    )
    await assert.rejects(
      openStateDirectory(join(parent, 'a')),
      refused('PUNCTUAL_STATE_DIR_UNWRITABLE', { path: join(parent, 'a'), reason: 'ENOTDIR' }),
    )
  })

  test('if a directory has the path of the lock', async () => {
    mkdirSync(lockFile(), { recursive: true })
    await assert.rejects(
      openStateDirectory(path),
      refused('PUNCTUAL_STATE_DIR_UNWRITABLE', { stateDir: path, reason: 'EISDIR' }),
    )
  })

  test('if it cannot be written', async (context) => {
    if (process.platform !== 'linux') return context.skip('needs a file system that is read-only for root too')
    await assert.rejects(
      openStateDirectory('/proc/self/punctual'),
      refused('PUNCTUAL_STATE_DIR_UNWRITABLE', { stateDir: '/proc/self/punctual' }),
    )
  })

  test('if its path is too long for a Unix socket', async () => {
    const long = join(parent, 'x'.repeat(100))
    await assert.rejects(
      openStateDirectory(long),
      refused('PUNCTUAL_STATE_DIR_UNWRITABLE', {
        path: join(long, 'control.sock'),
        reason: 'ENAMETOOLONG',
        bytes: Buffer.byteLength(join(long, 'control.sock')),
      }),
    )
    assert.throws(() => controlSocketPath(long), PunctualError)
    assert.deepEqual(readdirSync(parent), [])
  })
})
