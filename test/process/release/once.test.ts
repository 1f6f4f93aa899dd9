import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { type TestServer as Postgres, startPostgres } from '../database/postgres.ts'
import { request } from '../support/client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'

/** `npm run soak` sets more. */
const ROUNDS = Number(process.env.RELEASES ?? 3)
const ARBITERS = 3
/** Milliseconds: about the duration of a release. */
const LATEST_KILL = 1_500

let postgres: Postgres
let outsider: pg.Client
let url: string

before(async () => {
  postgres = await startPostgres()
  outsider = await postgres.outsider()
  url = `postgres://${postgres.user}:${postgres.password}@127.0.0.1:${postgres.port}/postgres`
  await outsider.query('create table migrated (name text); create table seeded (version text)')
})

after(async () => {
  await outsider?.end()
  await postgres?.stop()
})

/**
 * Kysely's migrator as a command, then a transactional function. The tables would accept both
 * twice.
 */
function files(round: number): Record<string, string> {
  return {
    'app.js': `
import http from 'node:http'
http.createServer((request, response) => response.end('${round}')).listen(process.env.PORT)
`,
    'migrate.js': `
import { Kysely, PostgresDialect, sql } from 'kysely'
import { Migrator } from 'kysely/migration'
import pg from 'pg'
const db = new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 1 }) }) })
const names = Array.from({ length: ${round * 2} }, (_, index) => 'm' + String(index).padStart(4, '0'))
const up = (name) => (database) => sql\`insert into migrated select \${name} from pg_sleep(0.05)\`.execute(database)
const migrator = new Migrator({ db, provider: { getMigrations: async () => Object.fromEntries(names.map((name) => [name, { up: up(name) }])) } })
const { error } = await migrator.migrateToLatest()
await db.destroy()
if (error) throw error
`,
    'punctual.config.ts': `
export default {
  releaseVersion: 'v${round}',
  releaseLock: 'env:DATABASE_URL',
  release: [
    { name: 'migrate', run: 'node migrate.js' },
    { name: 'seed', transactional: true, run: ({ query, version }) => query('insert into seeded select $1 from pg_sleep(0.1)', [version]) },
  ],
}
`,
  }
}

function start(round: number): Promise<TestServer> {
  return startServer({
    files: files(round),
    entry: 'app.js',
    settings: { workers: 1 },
    env: { DATABASE_URL: url },
    ready: false,
  })
}

async function count(text: string): Promise<number> {
  return (await outsider.query(text)).rows.length
}

describe(`${ARBITERS} arbiters started at the same instant on one database, ${ROUNDS} rounds`, () => {
  for (let round = 1; round <= ROUNDS; round++) {
    const kills = round % 2 === 0
    it(`round ${round}: every migration is applied exactly once and all arbiters serve${kills ? ', although one was killed meanwhile' : ''}`, async (context) => {
      const servers = await Promise.all(Array.from({ length: ARBITERS }, () => start(round)))
      try {
        if (kills) {
          const [victim, after] = [Math.floor(Math.random() * ARBITERS), Math.random() * LATEST_KILL]
          await sleep(after)
          const killed = servers[victim] as TestServer
          killed.signal('SIGKILL')
          context.diagnostic(`arbiter ${victim} killed after ${Math.round(after)} ms`)
          await killed.exit
          await until('what it had started to be gone', () => killed.processes().length === 0)
          await killed[Symbol.asyncDispose]()
          servers[victim] = await start(round)
        }
        for (const server of servers) {
          // Two waits: on a loaded machine three releases may take half of the timeout, before the
          // boot.
          await server.until(
            'its release to have ended',
            ({ release }) => release != null && release.state !== 'running',
          )
          const { release } = await server.until('it to be ready', ({ ready }) => ready)
          assert.ok(release?.state === 'done' || release?.state === 'skipped', JSON.stringify(release))
          assert.equal(release.version, `v${round}`)
          assert.equal((await request(server.url)).body, String(round))
        }
        assert.equal(await count(`select name from migrated`), round * 2)
        assert.equal(await count(`select distinct name from migrated`), round * 2)
        assert.equal(await count(`select version from seeded where version = 'v${round}'`), 1)
        assert.equal(await count(`select 1 from punctual_releases where version = 'v${round}' and outcome = 'done'`), 1)
        await until('no lock and no session to be left', async () => {
          const held = await count(`select 1 from pg_locks where locktype = 'advisory'`)
          const open = await count(`select 1 from pg_stat_activity where application_name like 'punctual%'`)
          return held + open === 0
        })
      } finally {
        await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()))
      }
    })
  }
})
