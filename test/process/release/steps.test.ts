import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type pg from 'pg'
import type { LockHolder, ReleaseRecord } from '../../../src/diagnostics/release-report.ts'
import { startPostgres, type TestServer } from '../database/postgres.ts'
import { signalTo } from '../support/server.ts'
import { until } from '../support/until.ts'
import { NOTHING_UNDONE, pick, ReleaseApp } from './release-app.ts'

let server: TestServer
let outsider: pg.Client
let url: string

before(async () => {
  server = await startPostgres()
  outsider = await server.outsider()
  url = `postgres://${server.user}:${server.password}@127.0.0.1:${server.port}/postgres`
})

after(async () => {
  await outsider?.end()
  await server?.stop()
})

/** Each test has an app of its own, so that tests do not wait for each other's locks. */
function createApp(name: string, steps: string, more = ''): ReleaseApp {
  const config = `export default { release: [${steps}], releaseLock: 'env:DATABASE_URL', releaseVersion: 'v1', ${more} }`
  return new ReleaseApp(config, { DATABASE_URL: url }, { 'package.json': `{ "name": "${name}", "type": "module" }` })
}

/** Newest first. */
async function history(app: string): Promise<readonly ReleaseRecord[]> {
  const { rows } = await outsider.query(
    'select record from punctual_releases where app = $1 order by started_at desc',
    [app],
  )
  return rows.map(({ record }) => record)
}

async function locks(): Promise<number> {
  const { rows } = await outsider.query(`select count(*)::int as n from pg_locks where locktype = 'advisory'`)
  return rows[0].n
}

describe('a step that fails', { concurrency: 3 }, () => {
  it('rolls back the steps before it in reverse order, reports its output and reason, and exits with 4', async () => {
    await using app = createApp(
      'midway',
      `{ name: 'one', run: 'echo 1 >> done', rollback: 'echo -1 >> done' },
       { name: 'two', run: 'echo 2 >> done', rollback: () => import('node:fs').then((fs) => fs.appendFileSync('done', '-2\\n')) },
       { name: 'three', run: 'echo the reason; echo it broke >&2; exit 7', rollback: 'echo -3 >> done' },
       { name: 'four', run: 'echo 4 >> done' }`,
    )
    const { code, end } = await app.release()
    assert.equal(code, 4)
    assert.deepEqual(end?.failure, {
      phase: 'step',
      reason: 'failed',
      step: 'three',
      exitCode: 7,
      signal: null,
      undo: { rolledBack: ['two', 'one'], kept: [], restored: false },
    })
    assert.equal(readFileSync(join(app.directory.path, 'done'), 'utf8'), '1\n2\n-2\n-1\n')
    const [record] = await history('midway')
    assert.equal(record?.outcome, 'failed')
    assert.deepEqual(record?.failure, end?.failure)
    assert.equal(record?.steps[2]?.tail, 'the reason\nit broke')
    assert.deepEqual(
      record?.steps.map(({ name, outcome, rollback }) => [name, outcome, rollback]),
      [
        ['one', 'done', 'done'],
        ['two', 'done', 'done'],
        ['three', 'failed', null],
      ],
    )
  })

  it('that hangs is killed at its timeout with its process tree, including a daemon in another session', async () => {
    const stubborn = `trap "" TERM; (setsid sleep 600 & echo $! > daemon); sleep 600 & sleep 601`
    await using app = createApp('hangs', `{ name: 'stuck', timeout: '1s', run: ${JSON.stringify(stubborn)} }`)
    const { code, end } = await app.release()
    assert.equal(code, 4)
    assert.deepEqual(pick(end?.failure, 'phase', 'reason', 'step'), {
      phase: 'step',
      reason: 'timed-out',
      step: 'stuck',
    })
    assert.ok(existsSync(join(app.directory.path, 'daemon')))
    assert.deepEqual(app.processes(), [])
  })

  it('that blocks its event loop is killed at its timeout', async () => {
    await using app = createApp('spins', `{ name: 'spin', timeout: '1s', run: () => { for (;;) {} } }`)
    const { code, end } = await app.release()
    assert.equal(code, 4)
    assert.deepEqual(pick(end?.failure, 'phase', 'reason', 'step'), {
      phase: 'step',
      reason: 'timed-out',
      step: 'spin',
    })
  })

  it('because its record cannot be saved is named, and rolled back with the steps before it', async () => {
    await using app = createApp(
      'unwritable',
      `{ name: 'one', run: 'true', rollback: 'echo one >> undone' },
       { name: 'two', run: ({ query }) => query("alter table punctual_releases add constraint refuse check (app <> 'unwritable') not valid"),
         rollback: async ({ query }) => {
           await query('alter table punctual_releases drop constraint refuse')
           ;(await import('node:fs')).appendFileSync('undone', 'two\\n')
         } },
       { name: 'three', run: 'touch three' }`,
    )
    const { code, end } = await app.release()
    assert.equal(code, 4)
    // `check_violation`
    assert.deepEqual(end?.failure, {
      phase: 'record',
      reason: 'not-written',
      step: 'two',
      errorCode: '23514',
      undo: { rolledBack: ['two', 'one'], kept: [], restored: false },
    })
    assert.equal(readFileSync(join(app.directory.path, 'undone'), 'utf8'), 'two\none\n')
    assert.equal(existsSync(join(app.directory.path, 'three')), false)
    assert.equal((await history('unwritable'))[0]?.outcome, 'failed')
  })

  it('because its promise never settles is distinguished from one that hangs', async () => {
    await using app = createApp('unsettled', `{ name: 'lost', run: () => new Promise(() => {}) }`)
    const { code, end } = await app.release()
    assert.equal(code, 4)
    assert.deepEqual(pick(end?.failure, 'phase', 'reason', 'step'), {
      phase: 'step',
      reason: 'unsettled',
      step: 'lost',
    })
  })
})

describe('a transactional step', () => {
  it('that committed without a reply is rolled back, and applied again by the next release', async () => {
    const setStandby = async (name: string): Promise<void> => {
      await outsider.query(`alter system set synchronous_standby_names = '${name}'`)
      await outsider.query('select pg_reload_conf()')
      await until('the server to have read it', async () => {
        return (await outsider.query('show synchronous_standby_names')).rows[0].synchronous_standby_names === name
      })
    }
    await outsider.query('create table committed (n int)')
    await using app = createApp(
      'committed',
      `{ name: 'one', run: 'true', rollback: 'true' },
       { name: 'seed', transactional: true, rollback: 'node undo.js', run: async ({ query }) => {
         await query("set local synchronous_commit = '" + process.env.COMMIT + "'")
         await query('insert into committed values (1)')
       } }`,
    )
    app.directory.write({
      'undo.js': `
import pg from 'pg'
const client = new pg.Client(process.env.DATABASE_URL)
await client.connect()
await client.query('delete from committed')
await client.end()
`,
    })
    // It waits for a standby that never responds, after it has committed.
    await setStandby('missing')
    app.env.COMMIT = 'on'
    const running = app.start()
    const end = `select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'`
    await until('the COMMIT to wait', async () => (await outsider.query(end)).rows.length > 0)
    const failed = (await running.ended).end
    await setStandby('')
    assert.deepEqual(pick(failed?.failure, 'phase', 'step', 'committed'), {
      phase: 'step',
      step: 'seed',
      committed: true,
    })
    assert.deepEqual(failed?.failure?.undo?.rolledBack, ['seed', 'one'])
    assert.deepEqual((await outsider.query('select * from committed')).rows, [])
    app.env.COMMIT = 'off'
    const { end: again } = await app.release()
    assert.deepEqual([again?.outcome, again?.record?.steps.length], ['done', 2])
    assert.deepEqual((await outsider.query('select * from committed')).rows, [{ n: 1 }])
  })
})

describe('the release lock', () => {
  it('reports its holder to a second release, which then finds the version done and runs nothing', async () => {
    const steps = `{ name: 'slow', run: 'echo x >> "$OUT"; until [ -e "$OUT.go" ]; do sleep 0.05; done' }`
    await using one = createApp('waits', steps)
    const out = join(one.directory.path, 'out')
    await using other = createApp('waits', steps)
    one.env.OUT = out
    other.env.OUT = out
    const first = one.start()
    await until('the step to have begun', () => existsSync(out))
    const second = other.start()
    await until('the second to say whom it waits for', () =>
      second.progress.find((line) => {
        const holder = line.holder as LockHolder | null | undefined
        return line.event === 'release-lock-waiting' && one.processes().includes(holder?.pid ?? 0)
      }),
    )
    spawnSync('touch', [`${out}.go`])
    assert.equal((await first.ended).code, 0)
    const { code, end } = await second.ended
    assert.equal(code, 0)
    assert.deepEqual([end?.outcome, end?.version], ['skipped', 'v1'])
    assert.equal(readFileSync(out, 'utf8'), 'x\n')
  })

  it('is waited for until releaseLockTimeout, and the error names the holder', async () => {
    await using one = createApp('limited', `{ name: 'slow', run: 'touch begun; sleep 30' }`)
    const first = one.start()
    await until('the step to have begun', () => existsSync(join(one.directory.path, 'begun')))
    await using other = createApp('limited', `{ name: 'slow', run: 'true' }`)
    const { code, end } = await other.release('--release-timeout', '500ms', '--release-lock-timeout', '1s')
    assert.equal(code, 4)
    assert.deepEqual(pick(end?.failure, 'phase', 'reason'), { phase: 'lock', reason: 'held' })
    const { holder } = end?.failure ?? {}
    assert.ok(one.processes().includes(holder?.pid ?? 0), JSON.stringify(holder))
    assert.ok((holder?.serverPid ?? 0) > 0 && holder?.since !== null, JSON.stringify(holder))
    first.child.kill('SIGTERM')
    assert.equal((await first.ended).end?.outcome, 'aborted')
  })

  it('that is lost midway kills the step and its sessions, rolls back nothing, and leaves no lock', async () => {
    await using app = createApp(
      'loses',
      `{ name: 'one', run: 'touch one', rollback: 'touch undone' },
       { name: 'long', run: async ({ query }) => { await query('create table loses_begun ()'); await query('select pg_sleep(600)') } }`,
    )
    const running = app.start()
    await until('the step to work in the database', async () => {
      const { rows } = await outsider.query(`select to_regclass('loses_begun') as name`)
      return rows[0].name !== null
    })
    await outsider.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'punctual release %:%'`,
    )
    const { code, end } = await running.ended
    assert.equal(code, 4)
    assert.deepEqual(end?.failure, {
      phase: 'step',
      reason: 'aborted',
      step: 'long',
      cause: { phase: 'lock', reason: 'lost' },
      undo: { ...NOTHING_UNDONE, skipped: 'lost' },
    })
    assert.equal(existsSync(join(app.directory.path, 'undone')), false)
    assert.equal((await history('loses'))[0]?.outcome, 'aborted')
    await until('no session to be left', async () => {
      const { rows } = await outsider.query(`select 1 from pg_stat_activity where application_name like 'punctual%'`)
      return rows.length === 0
    })
    assert.equal(await locks(), 0)
  })

  it('is acquired by the next release, which first ends the sessions that a killed one left', async () => {
    await using app = createApp(
      'leftover',
      `{ name: 'long', run: async ({ query }) => { await query('create table if not exists leftover ()'); if (!process.env.QUICK) await query('select pg_sleep(600)') } }`,
    )
    const running = app.start()
    const working = async (): Promise<number> => {
      const { rows } = await outsider.query(
        `select 1 from pg_stat_activity where query like '%pg_sleep(600)%' and pid <> pg_backend_pid()`,
      )
      return rows.length
    }
    await until('the step to work in the database', async () => (await working()) > 0)
    // All at once, as in a power failure: the server is not notified.
    for (const pid of app.processes()) signalTo(pid, 'SIGKILL')
    await running.ended
    assert.equal(await working(), 1)
    app.env.QUICK = '1'
    const { code, stderr, events } = await app.release()
    assert.equal(code, 0, stderr)
    assert.deepEqual(
      events('release-interrupted').map(({ version }) => version),
      ['v1'],
    )
    assert.equal(await working(), 0)
    assert.deepEqual(
      (await history('leftover')).map(({ outcome }) => outcome),
      ['done', 'interrupted'],
    )
  })
})

describe('a table lock of the app that blocks a migration', { concurrency: 3 }, () => {
  for (const [form, step] of [
    ['a statement', `{ name: 'alter', run: ({ query }) => query('alter table busy_%n add column a int') }`],
    [
      'a transaction',
      `{ name: 'alter', transactional: true, run: ({ query }) => query('alter table busy_%n add column a int') }`,
    ],
    ['a command', `{ name: 'alter', run: 'node alter.js' }`],
  ] as const) {
    it(`makes ${form} give way and retry`, async () => {
      const name = form.replace(/^a /, '')
      await outsider.query(`create table busy_${name} (id int)`)
      await using app = createApp(name, step.replaceAll('%n', name), `releaseTableLockTimeout: '300ms'`)
      app.directory.write({
        'alter.js': `
import pg from 'pg'
const client = new pg.Client(process.env.DATABASE_URL)
await client.connect()
await client.query('alter table busy_command add column a int').catch((error) => { console.error(error.code, error.message); process.exit(1) })
await client.end()
`,
      })
      const site = await server.outsider()
      await site.query('begin')
      await site.query(`select * from busy_${name}`)
      const running = app.start()
      const waiting = async (): Promise<boolean> => {
        const { rows } = await outsider.query(
          `select 1 from pg_locks where not granted and mode = 'AccessExclusiveLock' and relation = 'busy_${name}'::regclass`,
        )
        return rows.length > 0
      }
      await until('the migration to wait for the table', waiting)
      await until('it to have given way', async () => !(await waiting()))
      // The app's own statements pass meanwhile.
      await outsider.query(`select * from busy_${name}`)
      await until('it to try again', waiting)
      await site.query('rollback')
      await site.end()
      assert.equal((await running.ended).code, 0, running.progress.text)
      const { rows } = await outsider.query(`select a from busy_${name}`)
      assert.deepEqual(rows, [])
    })
  }
})

describe('punctual release --rollback', { concurrency: 2 }, () => {
  it('undoes the newest release, after which it can run again', async () => {
    await using app = createApp(
      'later',
      `{ name: 'table', transactional: true, run: ({ query }) => query('create table later ()'), rollback: ({ query }) => query('drop table later') }`,
    )
    assert.equal((await app.release()).code, 0)
    assert.equal((await app.release()).end?.outcome, 'skipped')
    const undone = (await app.release('--rollback')).end
    assert.deepEqual(
      [undone?.outcome, undone?.record?.outcome, undone?.record?.restored],
      ['done', 'rolled-back', false],
    )
    const { rows } = await outsider.query(`select to_regclass('later') as name`)
    assert.equal(rows[0].name, null)
    assert.deepEqual((await app.release('--rollback')).end?.failure, { phase: 'rollback', reason: 'nothing-to-undo' })
    assert.equal((await app.release()).end?.outcome, 'done')
    const { stdout } = await app.startPlain('--history').ended
    const [headings, ...runs] = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(/ {2,}/))
    const column = headings?.indexOf('OUTCOME') ?? -1
    assert.deepEqual(
      runs.map((cells) => cells[column]),
      ['done', 'rolled-back'],
    )
  })

  it('is refused if a step has no rollback, and names the step', async () => {
    await using app = createApp('refused', `{ name: 'seed', run: 'true' }`)
    assert.equal((await app.release()).code, 0)
    const { code, end } = await app.release('--rollback')
    assert.equal(code, 4)
    assert.deepEqual(end?.failure, { phase: 'rollback', reason: 'no-rollback', steps: ['seed'] })
  })
})

describe('an invalid configuration', () => {
  it('is reported with its key before anything runs', async () => {
    for (const [config, key] of [
      [`{ release: [{ name: 'a', runn: 'x' }] }`, 'release[0].runn'],
      [`{ release: [{ name: 'a', run: 'x', timeout: '20m' }] }`, 'release[0].timeout'],
      [`{ release: [{ name: 'a', run: 'x' }], releaseLock: process.env.NOT_SET }`, 'releaseLock'],
      [`{ release: [{ name: 'a', run: 'x' }], releaseLock: 'env:NOT_SET' }`, 'releaseLock'],
      [`{ release: [{ name: 'a', run: 'x', transactional: true }] }`, 'release[0].transactional'],
    ] as const) {
      await using app = new ReleaseApp(`export default ${config}`)
      const { code, stderr, end } = await app.release()
      const source = `punctual.config.ts: ${key}`
      // What depends on the settings is only found by the release process.
      if (end === null) {
        assert.equal(code, 2, stderr)
        assert.ok(stderr.includes(source), stderr)
      } else {
        assert.equal(code, 4, stderr)
        assert.deepEqual(pick(end.failure, 'phase', 'reason', 'sources'), {
          phase: 'config',
          reason: 'settings-invalid',
          sources: [source],
        })
      }
    }
  })
})
