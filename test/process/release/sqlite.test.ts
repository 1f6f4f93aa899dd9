import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, it } from 'node:test'
import { until } from '../support/until.ts'
import { NOTHING_UNDONE, pick, ReleaseApp } from './release-app.ts'

function createApp(steps: string, more = ''): ReleaseApp {
  return new ReleaseApp(
    `export default { release: [${steps}], releaseLock: 'sqlite:app.db', releaseVersion: 'v1', ${more} }`,
  )
}

function ask(app: ReleaseApp, text: string): unknown[] {
  const database = new DatabaseSync(join(app.directory.path, 'app.db'))
  try {
    return database
      .prepare(text)
      .all()
      .map((row) => ({ ...row }))
  } finally {
    database.close()
  }
}

describe('a release on SQLite', { concurrency: 3 }, () => {
  it('runs once when several start at the same instant; each transactional step is applied exactly once', async () => {
    await using app = createApp(
      `{ name: 'table', run: ({ query }) => query('create table if not exists counted (n)') },
       { name: 'count', transactional: true, run: ({ query }) => query('insert into counted values (1)') }`,
    )
    const ended = await Promise.all([app.release(), app.release(), app.release()])
    assert.deepEqual(
      ended.map(({ code }) => code),
      [0, 0, 0],
      ended.map(({ stderr }) => stderr).join(''),
    )
    assert.deepEqual(
      ended.map(({ end }) => end?.outcome).toSorted(),
      ['done', 'skipped', 'skipped'],
      ended.map(({ stdout }) => stdout).join(''),
    )
    assert.deepEqual(ask(app, 'select * from counted'), [{ n: 1 }])
  })

  it('runs again for the same version if the database was deleted', async () => {
    await using app = createApp(
      `{ name: 'table', transactional: true, run: ({ query }) => query('create table counted (n)') }`,
    )
    assert.equal((await app.release()).code, 0)
    rmSync(join(app.directory.path, 'app.db'))
    const { code, stderr, end, events } = await app.release()
    assert.equal(code, 0, stderr)
    assert.deepEqual(
      events('release-database-missing').map(({ version }) => version),
      ['v1'],
    )
    assert.deepEqual([end?.outcome, end?.version, end?.record?.steps.length], ['done', 'v1', 1])
    assert.deepEqual(ask(app, 'select * from counted'), [])
    assert.equal((await app.release()).end?.outcome, 'skipped')
  })

  it('does not apply a transactional step again that was committed before a kill', async () => {
    await using app = createApp(
      `{ name: 'table', run: ({ query }) => query('create table if not exists counted (n)') },
       { name: 'count', transactional: true, run: ({ query }) => query('insert into counted values (1)') },
       { name: 'wait', run: 'touch begun; until [ -e go ]; do sleep 0.05; done' }`,
    )
    const running = app.start()
    await until('the last step to have begun', () => existsSync(join(app.directory.path, 'begun')))
    running.child.kill('SIGKILL')
    await until('all of it to be gone', () => app.processes().length === 0)
    writeFileSync(join(app.directory.path, 'go'), '')
    const { code, stderr, end } = await app.release()
    assert.equal(code, 0, stderr)
    assert.equal(end?.record?.steps.find(({ name }) => name === 'count')?.outcome, 'already-done')
    assert.deepEqual(ask(app, 'select * from counted'), [{ n: 1 }])
  })

  it('applies a transactional step again that was rolled back, whichever run had applied it', async () => {
    await using app = createApp(
      `{ name: 'table', run: ({ query }) => query('create table if not exists counted (n)') },
       { name: 'count', transactional: true, run: ({ query }) => query('insert into counted values (1)'), rollback: 'node undo.js' },
       { name: 'last', run: 'touch begun; until [ -e go ]; do sleep 0.05; done; exit $LAST' }`,
    )
    app.directory.write({
      'undo.js': `
import { DatabaseSync } from 'node:sqlite'
new DatabaseSync('app.db').exec('delete from counted')
`,
    })
    const running = app.start()
    await until('the last step to have begun', () => existsSync(join(app.directory.path, 'begun')))
    running.child.kill('SIGKILL')
    await until('all of it to be gone', () => app.processes().length === 0)
    writeFileSync(join(app.directory.path, 'go'), '')
    app.env.LAST = '1'
    const failed = await app.release()
    assert.equal(failed.end?.record?.steps.find(({ name }) => name === 'count')?.outcome, 'already-done')
    assert.deepEqual(failed.end?.failure?.undo?.rolledBack, ['count'])
    app.env.LAST = '0'
    assert.equal((await app.release()).end?.outcome, 'done')
    assert.deepEqual(ask(app, 'select * from counted'), [{ n: 1 }])
  })

  it('is backed up online with an integrity check, and restored when a step fails', async () => {
    await using app = createApp(
      `{ name: 'vandal', run: ({ query }) => query('delete from precious') }, { name: 'fails', run: 'exit 1' }`,
      'backup: { restoreOnFailure: true }',
    )
    const writer = new DatabaseSync(join(app.directory.path, 'app.db'))
    writer.exec('pragma journal_mode = wal; create table precious (n); insert into precious values (1), (2)')
    const { code, end } = await app.release()
    assert.equal(code, 4)
    assert.equal(end?.failure?.undo?.restored, true)
    // A connection that was open all the time sees it.
    assert.equal(writer.prepare('select count(*) as n from precious').get()?.n, 2)
    writer.close()
  })

  it('runs no step if the backup cannot be read back', async () => {
    await using app = createApp(`{ name: 'a', run: 'touch ran' }`, 'backup: {}')
    const path = join(app.directory.path, 'app.db')
    const database = new DatabaseSync(path)
    database.exec(`create table t (n, text); create index i on t (n)`)
    for (let n = 0; n < 200; n++) database.prepare('insert into t values (?, ?)').run(n, 'x'.repeat(200))
    database.close()
    const bytes = readFileSync(path)
    bytes.fill(0xff, bytes.length - 6_000)
    writeFileSync(path, bytes)
    const { code, end } = await app.release()
    assert.equal(code, 4)
    assert.deepEqual(end?.failure, { phase: 'backup', reason: 'unreadable', undo: NOTHING_UNDONE })
    assert.equal(existsSync(join(app.directory.path, 'ran')), false)
    assert.deepEqual(readdirSync(join(app.directory.path, '.punctual/backups')), [])
  })
})

describe('a step that fills the disk of the records', () => {
  it('fails by name and is rolled back, and the next release succeeds', async (context) => {
    const disk = mkdtempSync(join(tmpdir(), 'punctual-disk-'))
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', disk], { stdio: 'ignore' })
    } catch {
      rmSync(disk, { recursive: true })
      return context.skip('this user may not mount a small disk')
    }
    try {
      const config = `export default { releaseVersion: 'v1', release: [
        { name: 'one', run: 'true', rollback: 'rm -f ${disk}/fill' },
        { name: 'fill', run: process.env.FILL ?? 'true' } ] }`
      await using app = new ReleaseApp(config)
      app.env.FILL = `dd if=/dev/zero of=${disk}/fill bs=64k`
      const { code, end } = await app.release('--state-dir', disk)
      delete app.env.FILL
      assert.equal(code, 4)
      assert.deepEqual(pick(end?.failure, 'phase', 'step', 'exitCode'), { phase: 'step', step: 'fill', exitCode: 1 })
      assert.deepEqual(end?.failure?.undo?.rolledBack, ['one'])
      assert.equal((await app.release('--state-dir', disk)).end?.outcome, 'done')
    } finally {
      execFileSync('umount', [disk])
      rmSync(disk, { recursive: true })
    }
  })
})
