import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { ms } from '../../src/resilience/duration.ts'
import type { LockOwner } from './guardian/directory-lock.ts'
import { takeLock } from './guardian/directory-lock.ts'
import { startGuard } from './guardian/guard.ts'
import { endProcess, identifyProcess } from './guardian/process-identity.ts'
import { waitUntil, within } from './guardian/wait-until.ts'

let root: string
before(() => {
  root = mkdtempSync(join(tmpdir(), 'incidents-guardian-'))
  chmodSync(root, 0o755)
})
after(() => rmSync(root, { recursive: true, force: true }))

const directory = (name: string): string => join(root, name)
const postmaster = (name: string): number =>
  Number.parseInt(readFileSync(join(root, name, 'data/postmaster.pid'), 'utf8'), 10)
const isGone = (pid: number): Promise<boolean> =>
  waitUntil(() => identifyProcess(pid) === undefined, ms(20_000), ms(20))

async function ask(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

/** Does what `npm start` does with its guardian, in a process that can be killed. */
async function runOwner(
  name: string,
): Promise<{ owner: ChildProcess; url: string; guardian: number; watched: number }> {
  const script = `
    import { execFileSync, spawn } from 'node:child_process'
    import { startGuard } from ${JSON.stringify(new URL('guardian/guard.ts', import.meta.url).href)}
    const guard = await startGuard()
    const url = await guard.openPostgres(${JSON.stringify(directory(name))}, { ephemeral: true })
    const watched = spawn('sleep', ['300'], { detached: true, stdio: 'ignore' })
    guard.watch(watched.pid)
    console.log(JSON.stringify({ url, guardian: guard.pid, watched: watched.pid }))
  `
  const owner = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  for await (const line of createInterface({ input: owner.stdout })) return { owner, ...JSON.parse(line) }
  throw new Error('the owner ended without a word')
}

test('the data is kept between starts, and only its owner can read the password', async () => {
  for (const expected of [undefined, 'kept']) {
    const guard = await startGuard()
    try {
      const url = await guard.openPostgres(directory('kept'), { ephemeral: true })
      await ask(url, 'create table if not exists notes (text text)')
      assert.equal(((await ask(url, 'select text from notes')) as { text: string }[])[0]?.text, expected)
      await ask(url, `insert into notes values ('kept')`)
    } finally {
      await guard.stop()
    }
  }
  const left = readdirSync(directory('kept')).sort()
  assert.deepEqual(left, ['data', 'password'])
  assert.ok(!existsSync(join(directory('kept'), 'data/postmaster.pid')))
})

test('a second start in the same directory is rejected, with the pid of the first', async () => {
  const first = await startGuard()
  const second = await startGuard()
  try {
    const url = await first.openPostgres(directory('shared'), { ephemeral: true })
    await assert.rejects(second.openPostgres(directory('shared'), { ephemeral: true }), {
      code: 'DATABASE_IN_USE',
      details: { startPid: process.pid, directory: directory('shared') },
    })
    await second.stop()
    assert.deepEqual(await ask(url, 'select 1 as one'), [{ one: 1 }])
  } finally {
    await second.stop()
    await first.stop()
  }
})

test('when its owner is killed, the guardian ends PostgreSQL, what it watches, and itself; a new start waits for that', async () => {
  const { owner, guardian, watched } = await runOwner('orphaned')
  const server = postmaster('orphaned')
  owner.kill('SIGKILL')
  const next = await startGuard()
  try {
    const url = await next.openPostgres(directory('orphaned'), { ephemeral: true })
    for (const pid of [server, watched, guardian]) assert.ok(await isGone(pid))
    assert.deepEqual(await ask(url, 'select 1 as one'), [{ one: 1 }])
  } finally {
    await next.stop()
  }
})

test('a server that survived when everything else was killed is ended by the next start', async () => {
  const { owner, guardian, watched } = await runOwner('survivor')
  const server = postmaster('survivor')
  process.kill(guardian, 'SIGKILL')
  owner.kill('SIGKILL')
  assert.ok(await isGone(guardian))
  assert.notEqual(identifyProcess(server), undefined)
  const next = await startGuard()
  try {
    const url = await next.openPostgres(directory('survivor'), { ephemeral: true })
    assert.equal(identifyProcess(server), undefined)
    assert.deepEqual(await ask(url, 'select 1 as one'), [{ one: 1 }])
  } finally {
    await next.stop()
    await endProcess(watched, [{ signal: 'SIGKILL', timeout: ms(5_000) }])
  }
})

test('a postmaster.pid with a reused pid neither prevents the start nor ends that process', async () => {
  const first = await startGuard()
  await first.openPostgres(directory('stale'), { ephemeral: true })
  const server = postmaster('stale')
  const path = join(directory('stale'), 'data/postmaster.pid')
  const text = readFileSync(path, 'utf8')
  await first.stop()
  assert.ok(await isGone(server))
  // PostgreSQL only respects a process of its own user; for root that is `postgres`.
  const uid =
    process.getuid?.() === 0 ? { uid: Number(execFileSync('id', ['-u', 'postgres'], { encoding: 'utf8' })) } : {}
  const stranger = spawn('sleep', ['300'], { stdio: 'ignore', ...uid })
  try {
    const pid = stranger.pid ?? 0
    writeFileSync(path, text.replace(/^\d+/, String(pid)))
    const next = await startGuard()
    try {
      const url = await next.openPostgres(directory('stale'), { ephemeral: true })
      assert.deepEqual(await ask(url, 'select 1 as one'), [{ one: 1 }])
      assert.notEqual(identifyProcess(pid), undefined)
    } finally {
      await next.stop()
    }
  } finally {
    await endProcess(stranger.pid ?? 0, [{ signal: 'SIGKILL', timeout: ms(5_000) }])
  }
})

test('a database whose creation was interrupted is created again', async () => {
  const path = directory('draft')
  const guard = await startGuard()
  try {
    await guard.openPostgres(path, { ephemeral: true })
  } finally {
    await guard.stop()
  }
  rmSync(join(path, 'data'), { recursive: true })
  writeFileSync(join(path, 'data.draft'), 'half')
  const next = await startGuard()
  try {
    assert.deepEqual(await ask(await next.openPostgres(path, { ephemeral: true }), 'select 1 as one'), [{ one: 1 }])
  } finally {
    await next.stop()
  }
})

test('data without its password is rejected with a code', async () => {
  rmSync(join(directory('kept'), 'password'))
  const guard = await startGuard()
  try {
    await assert.rejects(guard.openPostgres(directory('kept'), { ephemeral: true }), {
      code: 'DATABASE_PASSWORD_MISSING',
      details: { path: join(directory('kept'), 'password') },
    })
  } finally {
    await guard.stop()
  }
})

test('the death of the server is reported', async () => {
  let lost: (what: string) => void = () => {}
  const said = new Promise<string>((resolve) => {
    lost = resolve
  })
  const guard = await startGuard({ waiting: () => {}, lost })
  try {
    await guard.openPostgres(directory('dies'), { ephemeral: true })
    process.kill(postmaster('dies'), 'SIGKILL')
    assert.equal(await within(ms(30_000), 'the report', said), 'PostgreSQL')
  } finally {
    await guard.stop()
  }
})

test('a stale lock is taken over by one process', () => {
  const path = join(root, 'a-lock')
  const owner: LockOwner = {
    pid: process.pid,
    identity: identifyProcess(process.pid) ?? '',
    startPid: process.ppid,
    startIdentity: identifyProcess(process.ppid) ?? '',
  }
  // A pid in use by a process with another start time, which did not acquire the lock.
  writeFileSync(path, JSON.stringify({ ...owner, identity: `${process.pid}@1` }))
  const first = takeLock(path, owner)
  assert.ok(first.held)
  assert.deepEqual(takeLock(path, owner), { held: false, by: owner })
  first.release()
  assert.ok(!existsSync(path))
  writeFileSync(path, 'no owner at all')
  const second = takeLock(path, owner)
  assert.ok(second.held)
  second.release()
  assert.deepEqual(
    readdirSync(root).filter((name) => name.startsWith('a-lock')),
    [],
  )
})
