import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { PunctualError } from '../errors/punctual-error.ts'
import { controlSocketPath, openStateDirectory } from './state-directory.ts'
import { isAlive, type LockHolder, ourselves, parseHolder } from './state-directory-holder.ts'

let parent = ''
let path = ''

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'punctual-state-'))
  path = join(parent, 'a', '.punctual')
})
afterEach(() => rmSync(parent, { recursive: true, force: true }))

const lockFile = (): string => join(path, 'arbiter.lock')

/** Leaves a lock as another arbiter would have. `age` in seconds since it was touched. */
function leave(given: Partial<LockHolder>, age = 0): LockHolder {
  const holder = { ...ourselves(), ...given }
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

/** No process has it: Linux and macOS give out smaller ones. */
const NOBODY = 2 ** 30

test('a directory that is not there is made with its parents, for its user alone', async () => {
  const directory = await openStateDirectory(path)
  assert.equal(statSync(path).mode & 0o777, 0o700)
  assert.equal(statSync(lockFile()).mode & 0o777, 0o600)
  assert.equal(parseHolder(readFileSync(lockFile(), 'utf8'))?.pid, process.pid)
  await directory.release()
  assert.deepEqual(readdirSync(path), [])
})

test('a second arbiter is refused with the first one’s pid, and leaves nothing behind', async () => {
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
    ['whose process has gone', { pid: NOBODY, startTicks: null }],
    ['whose pid is another process’s by now', { startTicks: 1 }],
    ['from before the machine booted', { bootId: 'ffffffff-0000-0000-0000-000000000000' }],
  ]
  for (const [which, holder] of stale) {
    test(which, async (context) => {
      if (process.platform !== 'linux' && holder.pid === undefined) return context.skip('needs /proc')
      leave({ token: 'aaaa', ...holder })
      const directory = await openStateDirectory(path)
      assert.notEqual(parseHolder(readFileSync(lockFile(), 'utf8'))?.token, 'aaaa')
      await directory.release()
      assert.deepEqual(readdirSync(path), [])
    })
  }

  test('that lost its content with the machine', async () => {
    for (const text of ['', '\0\0\0\0', '{"pid":', '[]', '{"token":"../../x","pid":1,"hostname":"h"}']) {
      mkdirSync(path, { recursive: true })
      writeFileSync(lockFile(), text)
      await (await openStateDirectory(path)).release()
    }
  })

  test('by one of many who try at once, and by one only', async () => {
    for (let round = 0; round < 5; round += 1) {
      leave({ token: `dead-${round}`.replaceAll(/[^0-9a-f-]/g, '0'), pid: NOBODY, startTicks: null })
      const tries = await Promise.allSettled(Array.from({ length: 12 }, () => openStateDirectory(path)))
      const won = tries.filter((one) => one.status === 'fulfilled')
      assert.equal(won.length, 1)
      await won[0]?.value.release()
      assert.deepEqual(readdirSync(path), [])
    }
  })

  test('also when a taker died in the middle and its claim stayed', async () => {
    leave({ token: 'dead', pid: NOBODY, startTicks: null })
    writeFileSync(
      `${lockFile()}.dead`,
      JSON.stringify({ ...ourselves(), token: 'deaf', pid: NOBODY, startTicks: null }),
    )
    const directory = await openStateDirectory(path)
    await directory.release()
    assert.deepEqual(readdirSync(path), [])
  })
})

describe('the lock of another machine', () => {
  const elsewhere = { hostname: 'elsewhere', bootId: 'ffffffff-0000-0000-0000-000000000000', pid: NOBODY }

  test('counts while it is touched, and says where the holder is', async () => {
    leave(elsewhere, 5)
    await assert.rejects(
      openStateDirectory(path),
      refused('PUNCTUAL_STATE_DIR_LOCKED', { stateDir: path, pid: NOBODY, hostname: 'elsewhere' }),
    )
  })

  test('is stale when it has not been touched for 15 s', async () => {
    leave(elsewhere, 20)
    await (await openStateDirectory(path)).release()
  })
})

test('a container of the same kernel is asked over its control socket once it has had time to open it', async (context) => {
  if (process.platform !== 'linux') return context.skip('needs /proc')
  const since = new Date(Date.now() - 60_000).toISOString()
  const holder = { ...ourselves(), pidNamespace: 'pid:[1]', since }
  const socket = join(parent, 's')
  assert.equal(await isAlive(holder, Date.now(), socket), false, 'nobody listens')
  assert.equal(
    await isAlive({ ...holder, since: new Date().toISOString() }, Date.now(), socket),
    true,
    'too young to tell',
  )
  const server = createServer((client) => client.destroy())
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  assert.equal(await isAlive(holder, Date.now(), socket), true, 'it listens')
  await new Promise((resolve) => server.close(resolve))
})

test('release leaves a lock alone that is somebody else’s by now', async () => {
  const directory = await openStateDirectory(path)
  const other = leave({ token: 'bbbb' })
  await directory.release()
  assert.equal(parseHolder(readFileSync(lockFile(), 'utf8'))?.token, other.token)
})

test('what killed takers left is swept up, once it is old enough to be nobody’s', async () => {
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

describe('a state directory that cannot be used is refused clearly', () => {
  test('with a file in its place, or in the place of a parent', async () => {
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

  test('with a directory in the place of the lock', async () => {
    mkdirSync(lockFile(), { recursive: true })
    await assert.rejects(
      openStateDirectory(path),
      refused('PUNCTUAL_STATE_DIR_UNWRITABLE', { stateDir: path, reason: 'EISDIR' }),
    )
  })

  test('where nothing can be written', async (context) => {
    if (process.platform !== 'linux') return context.skip('needs a file system that is read-only for root too')
    await assert.rejects(
      openStateDirectory('/proc/self/punctual'),
      refused('PUNCTUAL_STATE_DIR_UNWRITABLE', { stateDir: '/proc/self/punctual' }),
    )
  })

  test('with a path too long for a Unix socket', async () => {
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
