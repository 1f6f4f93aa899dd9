import assert from 'node:assert/strict'
import { rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type pg from 'pg'
import { startPostgres, type TestServer } from '../../process/database/postgres.ts'
import { ReleaseApp } from '../../process/release/release-app.ts'
import { installServer } from '../support/install.ts'

interface Recipe {
  readonly run: string
  readonly files: Readonly<Record<string, string>>
  readonly env?: Readonly<Record<string, string>>
}

/**
 * The recipes of docs/guides/releasing.md: files and the release step. Each creates a table and,
 * concurrently, an index `<tool>_idx`.
 */
const RECIPES: Record<string, Recipe> = {
  'node-pg-migrate': {
    run: `'node-pg-migrate up --no-check-order'`,
    files: {
      'migrations/1700000000000_table.js': `export const up = (pgm) => pgm.createTable('node_pg_migrate', { a: 'int' })
export const down = (pgm) => pgm.dropTable('node_pg_migrate')
`,
      'migrations/1700000000001_index.js': `export const up = (pgm) => {
  pgm.noTransaction()
  pgm.sql('create index concurrently if not exists node_pg_migrate_idx on node_pg_migrate (a)')
}
export const down = false
`,
    },
  },
  knex: {
    run: `'knex migrate:latest'`,
    files: {
      'knexfile.js': `export default { client: 'pg', connection: process.env.DATABASE_URL, migrations: { directory: './migrations' } }
`,
      'migrations/1_table.js': `export const up = (knex) => knex.schema.createTable('knex', (table) => table.integer('a'))
export const down = (knex) => knex.schema.dropTable('knex')
`,
      'migrations/2_index.js': `export const config = { transaction: false }
export const up = (knex) => knex.raw('create index concurrently if not exists knex_idx on knex (a)')
export const down = (knex) => knex.raw('drop index concurrently if exists knex_idx')
`,
    },
  },
  typeorm: {
    run: `'typeorm migration:run -d data-source.js -t each'`,
    files: {
      'data-source.js': `import { DataSource } from 'typeorm'
export default new DataSource({ type: 'postgres', url: process.env.DATABASE_URL, migrations: ['migrations/*.js'] })
`,
      'migrations/1700000000000-table.js': `export class Table1700000000000 {
  async up(runner) { await runner.query('create table typeorm (a int)') }
  async down(runner) { await runner.query('drop table typeorm') }
}
`,
      'migrations/1700000000001-index.js': `export class Index1700000000001 {
  transaction = false
  async up(runner) { await runner.query('create index concurrently if not exists typeorm_idx on typeorm (a)') }
  async down(runner) { await runner.query('drop index concurrently if exists typeorm_idx') }
}
`,
    },
  },
  drizzle: {
    run: `'node migrate.js'`,
    files: {
      'migrate.js': `import { drizzle } from 'drizzle-orm/node-postgres'
import { migrate } from 'drizzle-orm/node-postgres/migrator'
import pg from 'pg'
const client = new pg.Client(process.env.DATABASE_URL)
await client.connect()
await migrate(drizzle(client), { migrationsFolder: './drizzle' })
// All migrations of a run are one transaction, in which no index can be built concurrently.
await client.query('create index concurrently if not exists drizzle_idx on drizzle (a)')
await client.end()
`,
      'drizzle/0000_table.sql': 'create table drizzle (a int);\n',
      'drizzle/meta/_journal.json': JSON.stringify({
        version: '7',
        dialect: 'postgresql',
        entries: [{ idx: 0, version: '7', when: 1700000000000, tag: '0000_table', breakpoints: true }],
      }),
    },
  },
  kysely: {
    run: `'node migrate.js'`,
    files: {
      'migrate.js': `import { Kysely, PostgresDialect, sql } from 'kysely'
import { Migrator } from 'kysely/migration'
import pg from 'pg'
const db = new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: process.env.DATABASE_URL }) }) })
const migrations = {
  '1_table': { up: (db) => db.schema.createTable('kysely').addColumn('a', 'integer').execute() },
  '2_index': { up: (db) => sql\`create index concurrently if not exists kysely_idx on kysely (a)\`.execute(db) },
}
const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations }, disableTransactions: true })
const { error } = await migrator.migrateToLatest()
await db.destroy()
if (error) throw error
`,
    },
  },
  // Its native engine is downloaded from a host of its own and not tested. The same engine,
  // compiled to WebAssembly and used over `pg`, is part of version 6.
  prisma: {
    run: `'prisma migrate deploy'`,
    // Otherwise it downloads the native engine as well, though it does not load it.
    env: { PRISMA_QUERY_ENGINE_LIBRARY: 'package.json', CHECKPOINT_DISABLE: '1' },
    files: {
      'prisma.config.ts': `import { PrismaPg } from '@prisma/adapter-pg'
import { defineConfig } from 'prisma/config'
export default defineConfig({
  experimental: { adapter: true, externalTables: true },
  tables: { external: ['public.punctual_releases', 'public.punctual_release_steps'] },
  engine: 'js',
  adapter: async () => new PrismaPg({ connectionString: process.env.DATABASE_URL }),
})
`,
      'prisma/schema.prisma': `datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}
`,
      'prisma/migrations/migration_lock.toml': 'provider = "postgresql"\n',
      'prisma/migrations/20260101000000_table/migration.sql': 'create table prisma (a int);\n',
      'prisma/migrations/20260101000001_index/migration.sql':
        'create index concurrently if not exists prisma_idx on prisma (a);\n',
    },
  },
}

describe('a release step with', () => {
  let server: TestServer
  let outsider: pg.Client
  let packages: string

  before(async () => {
    packages = await installServer(join(import.meta.dirname, 'packages/migrations'))
    server = await startPostgres()
    outsider = await server.outsider()
  })

  after(async () => {
    await outsider?.end()
    await server?.stop()
  })

  for (const [tool, { run, files, env }] of Object.entries(RECIPES)) {
    test(`${tool} migrates once, and builds an index concurrently`, async () => {
      const table = tool.replaceAll('-', '_')
      await outsider.query(`create database ${table}`)
      const url = `postgres://${server.user}:${server.password}@127.0.0.1:${server.port}/${table}`
      await using app = new ReleaseApp(
        `export default { releaseVersion: 'v1', releaseLock: 'env:DATABASE_URL', release: [{ name: 'migrate', run: ${run}, timeout: '2m' }] }`,
        { DATABASE_URL: url, ...env },
        { ...files, 'package.json': JSON.stringify({ name: tool, type: 'module' }) },
      )
      rmSync(join(app.directory.path, 'node_modules'), { recursive: true, force: true })
      symlinkSync(join(packages, 'node_modules'), join(app.directory.path, 'node_modules'))
      const first = await app.start().ended
      assert.equal(first.code, 0, first.stderr)
      assert.equal(first.end?.outcome, 'done')
      assert.equal((await app.start().ended).end?.outcome, 'skipped')
      const inside = new (outsider.constructor as typeof pg.Client)(url)
      await inside.connect()
      try {
        const { rows } = await inside.query('select indisvalid from pg_index where indexrelid = $1::regclass', [
          `${table}_idx`,
        ])
        assert.deepEqual(rows, [{ indisvalid: true }])
      } finally {
        await inside.end()
      }
    })
  }
})
