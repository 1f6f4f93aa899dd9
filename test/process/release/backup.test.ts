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
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
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

describe('a backup before the first step', { concurrency: 3 }, () => {
  it('is verified, readable only by its owner and recorded; only the newest ones are kept', async (context) => {
    const server = orSkip(postgres, context)
    if (server === null) return
    const url = await server.database('kept')
    await using app = appWithBackups({ name: 'kept', url, steps: `{ name: 'a', run: 'true' }`, backup: 'keep: 1' })
    for (const version of ['v1', 'v2']) {
      const { code, stderr, end, events } = await app.release('--release-version', version)
      assert.equal(code, 0, stderr)
      assert.deepEqual(
        events('release-backup-made').map(({ path, bytes }) => [path, bytes]),
        [[end?.record?.backup?.path, end?.record?.backup?.bytes]],
      )
    }
    const names = backupsOf(app)
    assert.equal(names.length, 1, names.join())
    assert.match(names[0] ?? '', /^kept-\d{8}T\d{6}Z-v2\.dump$/)
    const [record] = await historyOf(server, 'kept')
    assert.equal(record?.backup?.path, join(app.directory.path, '.punctual/backups', names[0] ?? ''))
    assert.equal(statSync(record?.backup?.path ?? '').mode & 0o777, 0o600)
  })

  it('that cannot be read back fails the release before any step, and leaves no file', async (context) => {
    const server = orSkip(postgres, context)
    if (server === null) return
    const url = await server.database('unreadable')
    const client = await server.client('unreadable')
    await client.query(`create table filler as select repeat(md5(n::text), 20) as text from generate_series(1, 5000) n`)
    await client.end()
    await using app = appWithBackups({
      name: 'unreadable',
      url,
      steps: `{ name: 'a', run: 'touch ran' }`,
      backup: `tools: 'tools'`,
    })
    // The real pg_dump, on a disk that loses the end of the file. Its table of contents is
    // complete.
    app.directory.write({
      'tools/pg_dump': `#!/bin/sh
${server.tools}/pg_dump "$@" || exit 1
for argument; do case "$argument" in --file=*) truncate -s -20000 "\${argument#--file=}" ;; esac; done
`,
    })
    const tools = join(app.directory.path, 'tools')
    execFileSync('sh', ['-c', `chmod +x ${tools}/pg_dump; ln -s ${server.tools}/pg_restore ${tools}/pg_restore`])
    const { code, end } = await app.release()
    assert.equal(code, 4)
    assert.deepEqual(pick(end?.failure, 'phase', 'reason'), { phase: 'backup', reason: 'unreadable' })
    assert.deepEqual(end?.record?.steps, [])
    assert.equal(existsSync(join(app.directory.path, 'ran')), false)
    assert.deepEqual(backupsOf(app), [])
  })

  it('without a fitting pg_dump is reported at every start, and no step runs', async (context) => {
    const server = orSkip(postgres, context)
    if (server === null) return
    const url = await server.database('unfit')
    await using app = appWithBackups({
      name: 'unfit',
      url,
      steps: `{ name: 'a', run: 'touch ran' }`,
      backup: `tools: 'old'`,
    })
    app.directory.write({
      'old/pg_dump': '#!/bin/sh\necho "pg_dump (PostgreSQL) 9.6.24"\n',
      'old/pg_restore': '#!/bin/sh\n',
    })
    execFileSync('chmod', ['-R', '+x', join(app.directory.path, 'old')])
    const { code, end, events } = await app.release()
    assert.equal(code, 4)
    const expected = { phase: 'backup', reason: 'tools-missing', serverMajor: server.major, foundMajors: [9] }
    const names = Object.keys(expected) as (keyof typeof expected)[]
    assert.deepEqual(
      events('release-backup-unavailable').map((line) => ({ level: line.level, ...pick(line, ...names) })),
      [{ level: 'error', ...expected }],
    )
    assert.deepEqual(pick(end?.failure, ...names), expected)
    assert.equal(existsSync(join(app.directory.path, 'ran')), false)
  })

  it('is refused if the disk lacks space; a disk that fills up midway leaves no partial file', async (context) => {
    const server = orSkip(postgres, context)
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
      await using app = appWithBackups({
        name: 'crammed',
        url,
        steps: `{ name: 'a', run: 'touch ran' }`,
        backup: `directory: process.env.DISK ?? '', command: process.env.COMMAND`,
      })
      const config = readFileSync(join(app.directory.path, 'punctual.config.ts'), 'utf8')
      app.directory.write({ 'punctual.config.ts': config.replace('process.env.DISK', JSON.stringify(disk)) })
      mkdirSync(join(disk, 'other'))
      appendFileSync(join(disk, 'other/big'), Buffer.alloc(8 * 1024 * 1024))
      const { code, end } = await app.release()
      assert.equal(code, 4)
      const { free = 0, needed = 0 } = end?.failure ?? {}
      assert.deepEqual(pick(end?.failure, 'phase', 'reason'), { phase: 'backup', reason: 'disk-full' })
      assert.ok(Math.round(free / 1024 ** 2) === 16 && needed > free, `${free} of ${needed}`)
      // A backup of unknown size.
      app.env.COMMAND = 'dd if=/dev/zero of="$BACKUP_FILE" bs=1M count=40'
      const filled = await app.release()
      assert.equal(filled.code, 4)
      assert.deepEqual(pick(filled.end?.failure, 'phase', 'reason', 'exitCode'), {
        phase: 'backup',
        reason: 'command-failed',
        exitCode: 1,
      })
      assert.deepEqual(readdirSync(disk), ['other'])
      assert.equal(existsSync(join(app.directory.path, 'ran')), false)
    } finally {
      execFileSync('umount', [disk])
      rmSync(disk, { recursive: true })
    }
  })
})
