import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { appWithBackups } from '../release/backup-app.ts'
import { type DebianPostgres, orSkip, startDebianPostgres } from '../release/debian-postgres.ts'

let postgres: DebianPostgres | null = null

before(async () => {
  postgres = await startDebianPostgres()
})

after(async () => {
  await postgres?.stop()
})

const PROGRAMS = '/usr/lib/postgresql'

/** Programs that note their arguments and then run the real ones. */
function notingPrograms(directory: string, major: number): string {
  mkdirSync(directory)
  for (const name of ['pg_dump', 'pg_restore', 'psql']) {
    const path = join(directory, name)
    const real = `${PROGRAMS}/${major}/bin/${name}`
    writeFileSync(path, `#!/bin/sh\nprintf '%s\\n' "${name} $*" >> '${directory}/noted'\nexec ${real} "$@"\n`)
    chmodSync(path, 0o755)
  }
  return directory
}

test('no password of the database is an argument of pg_dump, pg_restore or psql', async (context) => {
  const server = orSkip(postgres, context)
  if (server === null) return
  const name = 'secretive'
  const url = new URL(await server.database(name))
  url.password = 'PLANTED-userinfo'
  url.searchParams.set('password', 'PLANTED-parameter')
  url.searchParams.set('sslpassword', 'PLANTED-sslpassword')
  await using app = appWithBackups({
    name,
    url: url.href,
    steps: `{ name: 'a', run: 'true', rollback: 'true' }`,
    backup: `tools: 'tools'`,
  })
  const client = await server.client(name)
  const { rows } = await client.query('show server_version_num')
  await client.end()
  const directory = notingPrograms(
    join(app.directory.path, 'tools'),
    Math.floor(Number(rows[0].server_version_num) / 10_000),
  )
  const released = await app.release()
  assert.equal(released.code, 0, released.stderr)
  const restored = await app.release('--restore')
  assert.equal(restored.code, 0, restored.stderr)
  const noted = readFileSync(join(directory, 'noted'), 'utf8')
  for (const program of ['pg_dump', 'pg_restore', 'psql']) assert.match(noted, new RegExp(`^${program} .*-`, 'm'))
  assert.doesNotMatch(noted, /PLANTED/)
  for (const { stdout, stderr } of [released, restored]) assert.doesNotMatch(stdout + stderr, /PLANTED/)
})
