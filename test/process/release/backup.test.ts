import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import type { ReleaseRecord } from '../../../src/report/release-report.ts'
import { type DebianPostgres, startDebianPostgres } from './debian-postgres.ts'
import { ReleasePlace } from './place.ts'

let postgres: DebianPostgres | null = null

before(async () => {
  postgres = await startDebianPostgres()
})

after(async () => {
  await postgres?.stop()
})

function there(context: TestContext): DebianPostgres | null {
  if (postgres === null) context.skip('no PostgreSQL server with client programs on this machine')
  return postgres
}

interface Options {
  readonly name: string
  readonly url: string
  readonly steps: string
  readonly backup?: string
}

function place({ name, url, steps, backup = '' }: Options): ReleasePlace {
  const config = `export default { release: [${steps}], releaseLock: 'env:DATABASE_URL', backup: { ${backup} } }`
  return new ReleasePlace(config, { DATABASE_URL: url }, { 'package.json': `{ "name": "${name}", "type": "module" }` })
}

function backups(at: ReleasePlace, directory = '.punctual/backups'): readonly string[] {
  const path = join(at.directory.path, directory)
  return existsSync(path) ? readdirSync(path).toSorted() : []
}

/** The newest first. */
async function history(server: DebianPostgres, database: string): Promise<readonly ReleaseRecord[]> {
  const client = await server.client(database)
  const { rows } = await client.query('select record from punctual_releases order by started_at desc')
  await client.end()
  return rows.map(({ record }) => record)
}

/** Two tables that belong together, a view, a type, a function, and a schema of its own. */
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

/** Breaks whatever can be broken, outside of any transaction, and then fails. */
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

describe('the back-up before the first step', { concurrency: 3 }, () => {
  it('is read back, readable by its owner alone, recorded, and only the newest are kept', async (context) => {
    const server = there(context)
    if (server === null) return
    const url = await server.database('kept')
    await using at = place({ name: 'kept', url, steps: `{ name: 'a', run: 'true' }`, backup: 'keep: 1' })
    for (const version of ['v1', 'v2']) {
      const { code, stderr } = await at.release('--release-version', version)
      assert.equal(code, 0, stderr)
      assert.match(stderr, /backed up to .*\.dump \(.* KiB, read back\)/)
    }
    const names = backups(at)
    assert.equal(names.length, 1, names.join())
    assert.match(names[0] ?? '', /^kept-\d{8}T\d{6}Z-v2\.dump$/)
    const [record] = await history(server, 'kept')
    assert.equal(record?.backup?.path, join(at.directory.path, '.punctual/backups', names[0] ?? ''))
    assert.equal(statSync(record?.backup?.path ?? '').mode & 0o777, 0o600)
  })

  it('is restored when a step fails, where that is set: all of it, though the steps committed as they went', async (context) => {
    const server = there(context)
    if (server === null) return
    const url = await server.database('restored')
    const client = await server.client('restored')
    await client.query(SCHEMA)
    await client.end()
    await using at = place({ name: 'restored', url, steps: VANDAL, backup: 'restoreOnFailure: true' })
    const { code, stderr } = await at.release()
    assert.equal(code, 4)
    assert.match(stderr, /release step fails failed after .*\n(.*\n)+the back-up .* was restored$/m)
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
    const [record] = await history(server, 'restored')
    assert.deepEqual([record?.outcome, record?.restored], ['failed', true])
  })

  it('is not restored while others use the database, unless that is asked for by name', async (context) => {
    const server = there(context)
    if (server === null) return
    const url = await server.database('used')
    const client = await server.client('used')
    await client.query(SCHEMA)
    await using at = place({ name: 'used', url, steps: VANDAL, backup: 'restoreOnFailure: true' })
    const { stderr } = await at.release()
    assert.match(
      stderr,
      /was not restored, because 1 other sessions use the database and what was written since would be lost/,
    )
    assert.match(stderr, /done and without a roll-back: vandal/)
    const { code, stdout, stderr: told } = await at.release('--restore')
    assert.equal(code, 0, told)
    assert.match(stdout, /its back-up .* was restored/)
    await client.end()
    const { people, leftover } = (await state(server, 'used')) as { people: unknown[]; leftover: unknown[] }
    assert.equal(people.length, 2)
    assert.deepEqual(leftover, [{ leftover: null, extra: null }])
    assert.equal((await history(server, 'used'))[0]?.outcome, 'rolled-back')
  })

  it('that cannot be read back stops the release before any step, and leaves no file', async (context) => {
    const server = there(context)
    if (server === null) return
    const url = await server.database('unreadable')
    const client = await server.client('unreadable')
    await client.query(`create table filler as select repeat(md5(n::text), 20) as text from generate_series(1, 5000) n`)
    await client.end()
    await using at = place({
      name: 'unreadable',
      url,
      steps: `{ name: 'a', run: 'touch ran' }`,
      backup: `tools: 'tools'`,
    })
    // The real one, on a disk that loses the end of what is written: the list of contents at its head is whole.
    at.directory.write({
      'tools/pg_dump': `#!/bin/sh
${server.tools}/pg_dump "$@" || exit 1
for argument; do case "$argument" in --file=*) truncate -s -20000 "\${argument#--file=}" ;; esac; done
`,
    })
    const tools = join(at.directory.path, 'tools')
    execFileSync('sh', ['-c', `chmod +x ${tools}/pg_dump; ln -s ${server.tools}/pg_restore ${tools}/pg_restore`])
    const { code, stderr } = await at.release()
    assert.equal(code, 4)
    assert.match(stderr, /there is no back-up, so no step was run: the back-up .* cannot be read back: /)
    assert.equal(existsSync(join(at.directory.path, 'ran')), false)
    assert.deepEqual(backups(at), [])
  })

  it('that was spoilt since is not restored, and the database stays as it is', async (context) => {
    const server = there(context)
    if (server === null) return
    const url = await server.database('spoilt')
    const client = await server.client('spoilt')
    await client.query('create table precious as select 1 as id')
    await using at = place({ name: 'spoilt', url, steps: `{ name: 'a', run: 'true' }` })
    assert.equal((await at.release()).code, 0)
    const [file = ''] = backups(at)
    const path = join(at.directory.path, '.punctual/backups', file)
    truncateSync(path, statSync(path).size - 100)
    const { code, stderr } = await at.release('--restore')
    assert.equal(code, 4)
    assert.match(stderr, /could not be restored: .* cannot be read: it is not what was written/)
    assert.equal((await client.query('select * from precious')).rows.length, 1)
    await client.end()
  })

  it('for which no fitting pg_dump is found is said at every start, and no step is run', async (context) => {
    const server = there(context)
    if (server === null) return
    const url = await server.database('unfit')
    await using at = place({ name: 'unfit', url, steps: `{ name: 'a', run: 'touch ran' }`, backup: `tools: 'old'` })
    at.directory.write({
      'old/pg_dump': '#!/bin/sh\necho "pg_dump (PostgreSQL) 9.6.24"\n',
      'old/pg_restore': '#!/bin/sh\n',
    })
    execFileSync('chmod', ['-R', '+x', join(at.directory.path, 'old')])
    const { code, stderr } = await at.release()
    assert.equal(code, 4)
    assert.match(
      stderr,
      /^release: no back-up can be made: no pg_dump that fits PostgreSQL \d+ is in .*old, only .*pg_dump \(9\); install/m,
    )
    assert.equal(existsSync(join(at.directory.path, 'ran')), false)
  })

  it('is refused where the disk lacks room, and a disk that fills up midway leaves no half of one', async (context) => {
    const server = there(context)
    if (server === null) return
    const url = await server.database('crammed')
    const disk = mkdtempSync(join(tmpdir(), 'punctual-disk-'))
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', disk], { stdio: 'ignore' })
    } catch {
      rmSync(disk, { recursive: true })
      return context.skip('this user may not mount a small disk')
    }
    try {
      await using at = place({
        name: 'crammed',
        url,
        steps: `{ name: 'a', run: 'touch ran' }`,
        backup: `directory: process.env.DISK ?? '', command: process.env.COMMAND`,
      })
      const config = readFileSync(join(at.directory.path, 'punctual.config.ts'), 'utf8')
      at.directory.write({ 'punctual.config.ts': config.replace('process.env.DISK', JSON.stringify(disk)) })
      mkdirSync(join(disk, 'other'))
      appendFileSync(join(disk, 'other/big'), Buffer.alloc(8 * 1024 * 1024))
      const { code, stderr } = await at.release()
      assert.equal(code, 4)
      assert.match(
        stderr,
        /no step was run: the disk of .* has 16\.0 MiB left, and a back-up may need .* MiB; make room/,
      )
      // One whose size nobody can foretell.
      at.env.COMMAND = 'dd if=/dev/zero of="$BACKUP_FILE" bs=1M count=40'
      const filled = await at.release()
      assert.equal(filled.code, 4)
      assert.match(filled.stderr, /no step was run: .* failed \(exit code 1\): .*No space left on device/s)
      assert.deepEqual(readdirSync(disk), ['other'])
      assert.equal(existsSync(join(at.directory.path, 'ran')), false)
    } finally {
      execFileSync('umount', [disk])
      rmSync(disk, { recursive: true })
    }
  })
})
