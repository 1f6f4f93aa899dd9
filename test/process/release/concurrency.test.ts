import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import pg from 'pg'
import type { ReleaseEnd } from '../../../src/release/messages.ts'
import { startPostgres, type TestServer } from '../database/postgres.ts'
import { request } from '../support/client.ts'
import { signalTo, startServer } from '../support/server.ts'
import { until, within } from '../support/until.ts'
import { pick, ReleaseApp } from './release-app.ts'

const APP = `
import http from 'node:http'
import { readFileSync } from 'node:fs'
const version = readFileSync('version', 'utf8')
http.createServer((request, response) => response.end(version)).listen(process.env.PORT)
`

/** Two overlapping releases would write `begin` twice in a row. */
const TRACED = `
import { readFileSync } from 'node:fs'
export default {
  releaseVersion: readFileSync('version', 'utf8'),
  releaseLock: 'file:release.lock',
  release: [{ name: 'traced', run: 'echo begin >> trace; sleep 0.5; echo end >> trace' }],
}
`

function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) signalTo(pid, signal)
}

describe('concurrent releases', { concurrency: 3 }, () => {
  it('of `punctual release` and a reload run one after the other, and the second finds the version done', async () => {
    await using server = await startServer({
      files: { 'app.js': APP, version: 'v1', 'punctual.config.ts': TRACED },
      settings: { workers: 1 },
    })
    server.directory.write({ version: 'v2' })
    const [byHand, reload] = await Promise.all([server.command('release', '--json'), server.command('reload')])
    assert.deepEqual([byHand.code, reload.code], [0, 0], byHand.stderr + reload.stderr)
    assert.equal((await request(server.url)).body, 'v2')
    assert.equal(readFileSync(join(server.directory.path, 'trace'), 'utf8'), 'begin\nend\nbegin\nend\n')
    const { release } = await server.status()
    const { outcome } = JSON.parse(byHand.stdout) as ReleaseEnd
    assert.deepEqual([outcome, release?.state].toSorted(), ['done', 'skipped'])
  })

  it('wait for a stopped holder until the timeout; once continued, it completes its release', async () => {
    await using app = new ReleaseApp(`export default { releaseVersion: 'v1', release: [
      { name: 'slow', run: 'echo x >> ran; until [ -e go ]; do sleep 0.05; done' } ] }`)
    const ran = join(app.directory.path, 'ran')
    const first = app.start()
    await until('the step to have begun', () => existsSync(ran))
    const stopped = app.processes()
    signalAll(stopped, 'SIGSTOP')
    const { code, end } = await app.release('--release-timeout', '500ms', '--release-lock-timeout', '1s')
    assert.equal(code, 4)
    assert.deepEqual(pick(end?.failure, 'phase', 'reason'), { phase: 'lock', reason: 'held' })
    assert.ok(stopped.includes(end?.failure?.holder?.pid ?? 0), JSON.stringify(end?.failure))
    writeFileSync(join(app.directory.path, 'go'), '')
    signalAll(stopped, 'SIGCONT')
    assert.equal((await first.ended).code, 0)
    assert.equal((await app.release()).end?.outcome, 'skipped')
    assert.equal(readFileSync(ran, 'utf8'), 'x\n')
  })

  it('do not keep the arbiter from stopping if their process is stopped', async () => {
    await using server = await startServer({
      files: {
        'app.js': APP,
        version: 'v1',
        'punctual.config.ts': `export default { release: [{ name: 'slow', run: 'touch begun; sleep 600' }] }`,
      },
      ready: false,
    })
    await until('the step to have begun', () => existsSync(join(server.directory.path, 'begun')))
    signalAll(
      server.processes().filter((pid) => pid !== server.pid),
      'SIGSTOP',
    )
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
  })
})

describe('concurrent releases on PostgreSQL', () => {
  let postgres: TestServer
  let outsider: pg.Pool
  let url: string

  before(async () => {
    postgres = await startPostgres()
    url = `postgres://${postgres.user}:${postgres.password}@127.0.0.1:${postgres.port}/postgres`
    outsider = new pg.Pool({ connectionString: url, max: 4 })
    outsider.on('error', () => {})
  })
  after(async () => {
    await outsider?.end()
    await postgres?.stop()
  })
  const createApp = (name: string, steps: string): ReleaseApp =>
    new ReleaseApp(
      `export default { releaseVersion: 'v1', releaseLock: 'env:DATABASE_URL', release: [${steps}] }`,
      { DATABASE_URL: url },
      { 'package.json': `{ "name": "${name}", "type": "module" }` },
    )
  const outcomes = async (app: string): Promise<readonly string[]> => {
    const text = 'select outcome from punctual_releases where app = $1 order by started_at'
    return (await outsider.query(text, [app])).rows.map(({ outcome }) => outcome)
  }

  it('a stopped holder that lost its lock writes nothing once continued', async () => {
    await using app = createApp(
      'outlived',
      `{ name: 'rows', run: async ({ query }) => {
        await query('create table if not exists outlived (who text)')
        await query('insert into outlived values ($1)', [process.env.WHO])
        const { existsSync } = await import('node:fs')
        while (process.env.WHO === 'first' && !existsSync('go')) await new Promise((resolve) => setTimeout(resolve, 50))
        await query('insert into outlived values ($1)', [process.env.WHO])
      } }`,
    )
    app.env.WHO = 'first'
    const first = app.start()
    const rows = async (): Promise<string> => {
      const found = await outsider.query('select who from outlived order by who')
      return found.rows.map(({ who }) => who).join()
    }
    await until('the first row', async () => (await rows()) === 'first')
    const stopped = app.processes()
    signalAll(stopped, 'SIGSTOP')
    // The server does this when a machine is silent for a minute.
    await outsider.query(
      `select pg_terminate_backend(a.pid) from pg_stat_activity a join pg_locks l using (pid)
        where l.locktype = 'advisory' and a.application_name like 'punctual release %'`,
    )
    app.env.WHO = 'second'
    const { code, stderr, events } = await app.release()
    assert.equal(code, 0, stderr)
    assert.deepEqual(
      events('release-interrupted').map(({ version }) => version),
      ['v1'],
    )
    writeFileSync(join(app.directory.path, 'go'), '')
    signalAll(stopped, 'SIGCONT')
    const late = await within('the stopped one to end', first.ended)
    assert.equal(late.code, 4)
    assert.equal(await rows(), 'first,second,second')
    assert.equal((await app.release()).end?.outcome, 'skipped')
  })

  it('a step that loses its connection fails with the reason, and the steps before it are rolled back', async () => {
    await using app = createApp(
      'disconnected',
      `{ name: 'one', run: 'true', rollback: 'touch undone' },
       { name: 'long', run: ({ query }) => query('select pg_sleep(600)') }`,
    )
    const running = app.start()
    const end = `select pg_terminate_backend(pid) from pg_stat_activity where query = 'select pg_sleep(600)' and state = 'active'`
    await until('the step to work in the database', async () => (await outsider.query(end)).rows.length > 0)
    const { code, end: releaseEnd } = await within('the release to fail', running.ended)
    assert.equal(code, 4)
    // `admin_shutdown`
    assert.deepEqual(releaseEnd?.failure, {
      phase: 'step',
      reason: 'failed',
      step: 'long',
      errorCode: '57P01',
      undo: { rolledBack: ['one'], kept: [], restored: false },
    })
    assert.ok(existsSync(join(app.directory.path, 'undone')))
    assert.deepEqual(await outcomes('disconnected'), ['failed'])
  })

  it('several apps that release for the first time at the same instant all save their records', async () => {
    const apps = ['app-a', 'app-b', 'app-c', 'app-d']
    await outsider.query('create database fresh')
    const ended = await Promise.all(
      apps.map(async (name) => {
        await using app = createApp(name, `{ name: 'a', run: 'true' }`)
        app.env.DATABASE_URL = url.replace(/postgres$/, 'fresh')
        return await app.release()
      }),
    )
    assert.deepEqual(
      ended.map(({ code }) => code),
      apps.map(() => 0),
      ended.map(({ stderr }) => stderr).join(''),
    )
  })

  it('a function whose own connection could not acquire a table lock is retried as a whole', async () => {
    await outsider.query('create table taken (id int)')
    await using app = createApp(
      'own',
      `{ name: 'alter', run: async ({ attempt, log }) => {
        const { default: pg } = await import('pg')
        const client = new pg.Client(process.env.DATABASE_URL)
        await client.connect()
        log('attempt ' + attempt)
        try { await client.query('alter table taken add column a int') } finally { await client.end() }
      } }`,
    )
    const site = await postgres.outsider()
    await site.query('begin')
    await site.query('select * from taken')
    const running = app.start('--release-table-lock-timeout', '300ms')
    await until('a second attempt', () =>
      running.progress.find((line) => line.event === 'release-step-output' && line.line === 'attempt 2'),
    )
    await site.query('rollback')
    await site.end()
    assert.equal((await running.ended).code, 0, running.progress.text)
  })
})
