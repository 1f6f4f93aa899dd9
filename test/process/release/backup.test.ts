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
import { backupPlace, backupsOf, historyOf } from './backup-place.ts'
import { type DebianPostgres, orSkip, startDebianPostgres } from './debian-postgres.ts'
import { pick } from './place.ts'

let postgres: DebianPostgres | null = null

before(async () => {
  postgres = await startDebianPostgres()
})

after(async () => {
  await postgres?.stop()
})

describe('the back-up before the first step', { concurrency: 3 }, () => {
  it('is read back, readable by its owner alone, recorded, and only the newest are kept', async (context) => {
    const server = orSkip(postgres, context)
    if (server === null) return
    const url = await server.database('kept')
    await using at = backupPlace({ name: 'kept', url, steps: `{ name: 'a', run: 'true' }`, backup: 'keep: 1' })
    for (const version of ['v1', 'v2']) {
      const { code, stderr, end, events } = await at.release('--release-version', version)
      assert.equal(code, 0, stderr)
      assert.deepEqual(
        events('release-backup-made').map(({ path, bytes }) => [path, bytes]),
        [[end?.record?.backup?.path, end?.record?.backup?.bytes]],
      )
    }
    const names = backupsOf(at)
    assert.equal(names.length, 1, names.join())
    assert.match(names[0] ?? '', /^kept-\d{8}T\d{6}Z-v2\.dump$/)
    const [record] = await historyOf(server, 'kept')
    assert.equal(record?.backup?.path, join(at.directory.path, '.punctual/backups', names[0] ?? ''))
    assert.equal(statSync(record?.backup?.path ?? '').mode & 0o777, 0o600)
  })

  it('that cannot be read back stops the release before any step, and leaves no file', async (context) => {
    const server = orSkip(postgres, context)
    if (server === null) return
    const url = await server.database('unreadable')
    const client = await server.client('unreadable')
    await client.query(`create table filler as select repeat(md5(n::text), 20) as text from generate_series(1, 5000) n`)
    await client.end()
    await using at = backupPlace({
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
    const { code, end } = await at.release()
    assert.equal(code, 4)
    assert.deepEqual(pick(end?.failure, 'phase', 'reason'), { phase: 'backup', reason: 'unreadable' })
    assert.deepEqual(end?.record?.steps, [])
    assert.equal(existsSync(join(at.directory.path, 'ran')), false)
    assert.deepEqual(backupsOf(at), [])
  })

  it('for which no fitting pg_dump is found is said at every start, and no step is run', async (context) => {
    const server = orSkip(postgres, context)
    if (server === null) return
    const url = await server.database('unfit')
    await using at = backupPlace({
      name: 'unfit',
      url,
      steps: `{ name: 'a', run: 'touch ran' }`,
      backup: `tools: 'old'`,
    })
    at.directory.write({
      'old/pg_dump': '#!/bin/sh\necho "pg_dump (PostgreSQL) 9.6.24"\n',
      'old/pg_restore': '#!/bin/sh\n',
    })
    execFileSync('chmod', ['-R', '+x', join(at.directory.path, 'old')])
    const { code, end, events } = await at.release()
    assert.equal(code, 4)
    const told = { phase: 'backup', reason: 'tools-missing', serverMajor: server.major, foundMajors: [9] }
    const names = Object.keys(told) as (keyof typeof told)[]
    assert.deepEqual(
      events('release-backup-unavailable').map((line) => ({ level: line.level, ...pick(line, ...names) })),
      [{ level: 'error', ...told }],
    )
    assert.deepEqual(pick(end?.failure, ...names), told)
    assert.equal(existsSync(join(at.directory.path, 'ran')), false)
  })

  it('is refused where the disk lacks room, and a disk that fills up midway leaves no half of one', async (context) => {
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
      await using at = backupPlace({
        name: 'crammed',
        url,
        steps: `{ name: 'a', run: 'touch ran' }`,
        backup: `directory: process.env.DISK ?? '', command: process.env.COMMAND`,
      })
      const config = readFileSync(join(at.directory.path, 'punctual.config.ts'), 'utf8')
      at.directory.write({ 'punctual.config.ts': config.replace('process.env.DISK', JSON.stringify(disk)) })
      mkdirSync(join(disk, 'other'))
      appendFileSync(join(disk, 'other/big'), Buffer.alloc(8 * 1024 * 1024))
      const { code, end } = await at.release()
      assert.equal(code, 4)
      const { free = 0, needed = 0 } = end?.failure ?? {}
      assert.deepEqual(pick(end?.failure, 'phase', 'reason'), { phase: 'backup', reason: 'disk-full' })
      assert.ok(Math.round(free / 1024 ** 2) === 16 && needed > free, `${free} of ${needed}`)
      // One whose size nobody can foretell.
      at.env.COMMAND = 'dd if=/dev/zero of="$BACKUP_FILE" bs=1M count=40'
      const filled = await at.release()
      assert.equal(filled.code, 4)
      assert.deepEqual(pick(filled.end?.failure, 'phase', 'reason', 'exitCode'), {
        phase: 'backup',
        reason: 'command-failed',
        exitCode: 1,
      })
      assert.deepEqual(readdirSync(disk), ['other'])
      assert.equal(existsSync(join(at.directory.path, 'ran')), false)
    } finally {
      execFileSync('umount', [disk])
      rmSync(disk, { recursive: true })
    }
  })
})
