import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, it } from 'node:test'
import { until } from '../support/until.ts'
import { NOTHING_UNDONE, pick, ReleasePlace } from './place.ts'

function place(steps: string, more = ''): ReleasePlace {
  return new ReleasePlace(
    `export default { release: [${steps}], releaseLock: 'sqlite:app.db', releaseVersion: 'v1', ${more} }`,
  )
}

function ask(at: ReleasePlace, text: string): unknown[] {
  const database = new DatabaseSync(join(at.directory.path, 'app.db'))
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
  it('is done once by all that begin at the same instant; each transactional step exactly once', async () => {
    await using at = place(
      `{ name: 'table', run: ({ query }) => query('create table if not exists counted (n)') },
       { name: 'count', transactional: true, run: ({ query }) => query('insert into counted values (1)') }`,
    )
    const ended = await Promise.all([at.release(), at.release(), at.release()])
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
    assert.deepEqual(ask(at, 'select * from counted'), [{ n: 1 }])
  })

  it('is done again for the same version when the database has been removed', async () => {
    await using at = place(
      `{ name: 'table', transactional: true, run: ({ query }) => query('create table counted (n)') }`,
    )
    assert.equal((await at.release()).code, 0)
    rmSync(join(at.directory.path, 'app.db'))
    const { code, stderr, end, events } = await at.release()
    assert.equal(code, 0, stderr)
    assert.deepEqual(
      events('release-database-missing').map(({ version }) => version),
      ['v1'],
    )
    assert.deepEqual([end?.outcome, end?.version, end?.record?.steps.length], ['done', 'v1', 1])
    assert.deepEqual(ask(at, 'select * from counted'), [])
    assert.equal((await at.release()).end?.outcome, 'skipped')
  })

  it('that was killed after a transactional step was committed does not apply it again', async () => {
    await using at = place(
      `{ name: 'table', run: ({ query }) => query('create table if not exists counted (n)') },
       { name: 'count', transactional: true, run: ({ query }) => query('insert into counted values (1)') },
       { name: 'wait', run: 'touch begun; until [ -e go ]; do sleep 0.05; done' }`,
    )
    const running = at.start()
    await until('the last step to have begun', () => existsSync(join(at.directory.path, 'begun')))
    running.child.kill('SIGKILL')
    await until('all of it to be gone', () => at.processes().length === 0)
    writeFileSync(join(at.directory.path, 'go'), '')
    const { code, stderr, end } = await at.release()
    assert.equal(code, 0, stderr)
    assert.equal(end?.record?.steps.find(({ name }) => name === 'count')?.outcome, 'already-done')
    assert.deepEqual(ask(at, 'select * from counted'), [{ n: 1 }])
  })

  it('does a transactional step again that was rolled back, whichever run had applied it', async () => {
    await using at = place(
      `{ name: 'table', run: ({ query }) => query('create table if not exists counted (n)') },
       { name: 'count', transactional: true, run: ({ query }) => query('insert into counted values (1)'), rollback: 'node undo.js' },
       { name: 'last', run: 'touch begun; until [ -e go ]; do sleep 0.05; done; exit $LAST' }`,
    )
    at.directory.write({
      'undo.js': `
import { DatabaseSync } from 'node:sqlite'
new DatabaseSync('app.db').exec('delete from counted')
`,
    })
    const running = at.start()
    await until('the last step to have begun', () => existsSync(join(at.directory.path, 'begun')))
    running.child.kill('SIGKILL')
    await until('all of it to be gone', () => at.processes().length === 0)
    writeFileSync(join(at.directory.path, 'go'), '')
    at.env.LAST = '1'
    const failed = await at.release()
    assert.equal(failed.end?.record?.steps.find(({ name }) => name === 'count')?.outcome, 'already-done')
    assert.deepEqual(failed.end?.failure?.undo?.rolledBack, ['count'])
    at.env.LAST = '0'
    assert.equal((await at.release()).end?.outcome, 'done')
    assert.deepEqual(ask(at, 'select * from counted'), [{ n: 1 }])
  })

  it('is backed up online, with its integrity checked, and restored when a step fails', async () => {
    await using at = place(
      `{ name: 'vandal', run: ({ query }) => query('delete from precious') }, { name: 'fails', run: 'exit 1' }`,
      'backup: { restoreOnFailure: true }',
    )
    const writer = new DatabaseSync(join(at.directory.path, 'app.db'))
    writer.exec('pragma journal_mode = wal; create table precious (n); insert into precious values (1), (2)')
    const { code, end } = await at.release()
    assert.equal(code, 4)
    assert.equal(end?.failure?.undo?.restored, true)
    // Whoever had it open sees it.
    assert.equal(writer.prepare('select count(*) as n from precious').get()?.n, 2)
    writer.close()
  })

  it('whose back-up cannot be read back runs no step', async () => {
    await using at = place(`{ name: 'a', run: 'touch ran' }`, 'backup: {}')
    const path = join(at.directory.path, 'app.db')
    const database = new DatabaseSync(path)
    database.exec(`create table t (n, text); create index i on t (n)`)
    for (let n = 0; n < 200; n++) database.prepare('insert into t values (?, ?)').run(n, 'x'.repeat(200))
    database.close()
    const bytes = readFileSync(path)
    bytes.fill(0xff, bytes.length - 6_000)
    writeFileSync(path, bytes)
    const { code, end } = await at.release()
    assert.equal(code, 4)
    assert.deepEqual(end?.failure, { phase: 'backup', reason: 'unreadable', undo: NOTHING_UNDONE })
    assert.equal(existsSync(join(at.directory.path, 'ran')), false)
    assert.deepEqual(readdirSync(join(at.directory.path, '.punctual/backups')), [])
  })
})

describe('a step that fills the disk on which the record is', () => {
  it('fails by its name, is rolled back, and the next release finds everything in order', async (context) => {
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
      await using at = new ReleasePlace(config)
      at.env.FILL = `dd if=/dev/zero of=${disk}/fill bs=64k`
      const { code, end } = await at.release('--state-dir', disk)
      delete at.env.FILL
      assert.equal(code, 4)
      assert.deepEqual(pick(end?.failure, 'phase', 'step', 'exitCode'), { phase: 'step', step: 'fill', exitCode: 1 })
      assert.deepEqual(end?.failure?.undo?.rolledBack, ['one'])
      assert.equal((await at.release('--state-dir', disk)).end?.outcome, 'done')
    } finally {
      execFileSync('umount', [disk])
      rmSync(disk, { recursive: true })
    }
  })
})
