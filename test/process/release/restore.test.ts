import assert from 'node:assert/strict'
import { statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { signalTo } from '../support/server.ts'
import { until } from '../support/until.ts'
import { appWithBackups, backupsOf, historyOf } from './backup-app.ts'
import { type DebianPostgres, orSkip, startDebianPostgres } from './debian-postgres.ts'
import { pick } from './release-app.ts'

let postgres: DebianPostgres | null = null

before(async () => {
  postgres = await startDebianPostgres()
})

after(async () => {
  await postgres?.stop()
})

/** Two related tables, a view, a type, a function, and another schema. */
const SCHEMA = `
create type mood as enum ('good', 'bad');
create table people (id serial primary key, name text not null, mood mood not null default 'good');
create schema side;
create table side.notes (id int primary key, person int references people, note text);
create view names as select name from people;
create function greet(text) returns text language sql as $$ select 'hello ' || $1 $$;
insert into people (name) values ('Ada'), ('Grace');
insert into side.notes values (1, 1, 'first');
`

/** Breaks as much as possible outside of any transaction, then fails. */
const VANDAL = `{ name: 'vandal', run: async ({ query }) => {
  await query('create table leftover (id int)')
  await query('alter table people add column age int')
  await query('alter table people add column boss int references people')
  await query('drop view names')
  await query("delete from side.notes")
  await query("insert into people (name) values ('Mallory')")
  await query('create type extra as enum (\\'x\\')')
} }, { name: 'fails', run: 'echo no space for this; exit 1' }`

async function state(server: DebianPostgres, database: string): Promise<unknown> {
  const client = await server.client(database)
  try {
    const one = async (text: string): Promise<unknown> => (await client.query(text)).rows
    return {
      people: await one('select * from people order by id'),
      notes: await one('select * from side.notes'),
      names: await one('select * from names order by name').catch(() => 'gone'),
      greeting: await one(`select greet('you')`),
      next: await one(`select nextval('people_id_seq') as next`),
      leftover: await one(`select to_regclass('leftover') as leftover, to_regtype('extra') as extra`),
    }
  } finally {
    await client.end()
  }
}

describe('a backup', { concurrency: 3 }, () => {
  it('is restored completely when a step fails and restoreOnFailure is set, although the steps committed', async (context) => {
    const server = orSkip(postgres, context)
    if (server === null) return
    const url = await server.database('restored')
    const client = await server.client('restored')
    await client.query(SCHEMA)
    await client.end()
    await using app = appWithBackups({ name: 'restored', url, steps: VANDAL, backup: 'restoreOnFailure: true' })
    const { code, end } = await app.release()
    assert.equal(code, 4)
    assert.deepEqual(pick(end?.failure, 'phase', 'reason', 'step'), { phase: 'step', reason: 'failed', step: 'fails' })
    assert.equal(end?.failure?.undo?.restored, true)
    assert.deepEqual(await state(server, 'restored'), {
      people: [
        { id: 1, name: 'Ada', mood: 'good' },
        { id: 2, name: 'Grace', mood: 'good' },
      ],
      notes: [{ id: 1, person: 1, note: 'first' }],
      names: [{ name: 'Ada' }, { name: 'Grace' }],
      greeting: [{ greet: 'hello you' }],
      next: [{ next: '3' }],
      leftover: [{ leftover: null, extra: null }],
    })
    const [record] = await historyOf(server, 'restored')
    assert.deepEqual([record?.outcome, record?.restored], ['failed', true])
  })

  it('is not restored while other sessions use the database, except by --restore', async (context) => {
    const server = orSkip(postgres, context)
    if (server === null) return
    const url = await server.database('used')
    const client = await server.client('used')
    await client.query(SCHEMA)
    await using app = appWithBackups({ name: 'used', url, steps: VANDAL, backup: 'restoreOnFailure: true' })
    const failed = await app.release()
    assert.deepEqual(failed.end?.failure?.undo, {
      rolledBack: [],
      kept: ['vandal'],
      restored: false,
      notRestored: { reason: 'database-in-use', sessions: 1 },
    })
    const { code, end, stderr } = await app.release('--restore')
    assert.equal(code, 0, stderr)
    assert.equal(end?.record?.restored, true)
    await client.end()
    const { people, leftover } = (await state(server, 'used')) as { people: unknown[]; leftover: unknown[] }
    assert.equal(people.length, 2)
    assert.deepEqual(leftover, [{ leftover: null, extra: null }])
    assert.equal((await historyOf(server, 'used'))[0]?.outcome, 'rolled-back')
  })

  it('that was altered is not restored, and the database is unchanged', async (context) => {
    const server = orSkip(postgres, context)
    if (server === null) return
    const url = await server.database('spoilt')
    const client = await server.client('spoilt')
    await client.query('create table precious as select 1 as id')
    await using app = appWithBackups({ name: 'spoilt', url, steps: `{ name: 'a', run: 'true' }` })
    assert.equal((await app.release()).code, 0)
    const [file = ''] = backupsOf(app)
    const path = join(app.directory.path, '.punctual/backups', file)
    truncateSync(path, statSync(path).size - 100)
    const { code, end } = await app.release('--restore')
    assert.equal(code, 4)
    assert.deepEqual(end?.failure, { phase: 'restore', reason: 'altered', path })
    assert.equal(end?.record?.restored, false)
    assert.equal((await client.query('select * from precious')).rows.length, 1)
    await client.end()
  })

  it('whose restore is killed midway is restored completely or not at all', async (context) => {
    const server = orSkip(postgres, context)
    if (server === null) return
    const url = await server.database('halved')
    const client = await server.client('halved')
    const looking = await server.client('halved')
    // The restore can be blocked midway, with more rows to come than all buffers hold.
    await client.query(`
      create function gate(n int) returns boolean language sql as $$ select n <> 100 or pg_advisory_xact_lock(7) is not null $$;
      create table precious (n int check (gate(n)), text text);
      insert into precious select n, repeat(md5(n::text), 100) from generate_series(1, 6000) n`)
    await using app = appWithBackups({ name: 'halved', url, steps: `{ name: 'a', run: 'true' }` })
    assert.equal((await app.release()).code, 0)
    await client.query('insert into precious values (0)')
    await client.query('select pg_advisory_lock(7)')
    const restoring = app.start('--restore')
    await until('the restore to copy back', async () => {
      const { rows } = await looking.query(
        `select from pg_locks where not granted and locktype = 'advisory' and objid = 7`,
      )
      return rows.length > 0
    })
    for (const pid of app.processes(/release-process/)) signalTo(pid, 'SIGKILL')
    assert.equal((await restoring.ended).code, 4)
    await client.query('select pg_advisory_unlock(7)')
    await until('psql to have ended', () => app.processes().length === 0)
    const { rows } = await looking.query('select count(*)::int as n from precious')
    assert.ok([6000, 6001].includes(rows[0].n), `${rows[0].n} rows are there`)
    await client.end()
    await looking.end()
  })

  it('keeps our tables in place, in any schema', async (context) => {
    const server = orSkip(postgres, context)
    if (server === null) return
    const url = await server.database('elsewhere')
    const client = await server.client('elsewhere')
    await client.query(`create schema "Our own"; create table "Our own".people as select 'Ada' as name`)
    await client.end()
    await using app = appWithBackups({
      name: 'elsewhere',
      // With the app's own application_name the release could not recognize its sessions.
      url: `${url}?application_name=shop&options=${encodeURIComponent('-c search_path="Our\\ own"')}`,
      steps: `{ name: 'vandal', transactional: true, run: ({ query }) => query('delete from people') }, { name: 'fails', run: 'exit 1' }`,
      backup: 'restoreOnFailure: true',
    })
    const { code, end } = await app.release()
    assert.equal(code, 4)
    assert.equal(end?.failure?.undo?.restored, true)
    const looking = await server.client('elsewhere')
    const rows = async (text: string): Promise<readonly unknown[]> => (await looking.query(text)).rows
    assert.deepEqual(await rows('select * from "Our own".people'), [{ name: 'Ada' }])
    assert.deepEqual(await rows(`select outcome, record->'restored' as restored from "Our own".punctual_releases`), [
      { outcome: 'failed', restored: true },
    ])
    // The mark was deleted with the step, and the temporary schema was dropped.
    assert.deepEqual(await rows('select * from "Our own".punctual_release_steps'), [])
    assert.deepEqual(await rows(`select nspname from pg_namespace where nspname like 'punctual%'`), [])
    await looking.end()
  })

  it('is not restored while sessions use the database that its user can hardly see', async (context) => {
    const server = orSkip(postgres, context)
    if (server === null) return
    const url = await server.database('unseen')
    const client = await server.client('unseen')
    await client.query('create role plain login; alter database unseen owner to plain')
    await using app = appWithBackups({
      name: 'unseen',
      url: url.replace('tester:', 'plain:'),
      steps: `{ name: 'vandal', run: ({ query }) => query('create table leftover ()') }, { name: 'fails', run: 'exit 1' }`,
      backup: 'restoreOnFailure: true',
    })
    const { end } = await app.release()
    assert.deepEqual(end?.failure?.undo?.notRestored, { reason: 'database-in-use', sessions: 1 })
    assert.equal((await client.query('select * from leftover')).rows.length, 0)
    await client.end()
  })

  it('is not restored if the users of the database are unknown', async (context) => {
    const server = orSkip(postgres, context)
    if (server === null) return
    const url = await server.database('unknown')
    const client = await server.client('unknown')
    await client.query('create role limited login; alter database unknown owner to limited')
    await client.end()
    await using app = appWithBackups({
      name: 'unknown',
      url: url.replace('tester:', 'limited:'),
      steps: `{ name: 'vandal', run: ({ query }) => query('create table leftover ()') }, { name: 'fails', run: 'node crowd.js; exit 1' }`,
      backup: 'restoreOnFailure: true',
    })
    // No more than the two open sessions: the lock and the records.
    app.directory.write({
      'crowd.js': `
import pg from 'pg'
const client = new pg.Client(${JSON.stringify(url)})
await client.connect()
await client.query('alter role limited connection limit 2')
await client.end()
`,
    })
    const { end } = await app.release()
    // `too_many_connections`, also used for the limit of a role.
    assert.deepEqual(end?.failure?.undo?.notRestored, { reason: 'users-unknown', errorCode: '53300' })
    const [record] = await historyOf(server, 'unknown')
    assert.deepEqual([record?.outcome, record?.restored], ['failed', false])
  })
})
