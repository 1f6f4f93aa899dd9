import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import net from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type pg from 'pg'
import { hasBouncer, startBouncer } from '../../process/database/pgbouncer.ts'
import { startPostgres, type TestServer } from '../../process/database/postgres.ts'
import { pick, ReleaseApp } from '../../process/release/release-app.ts'
import { until } from '../../process/support/until.ts'

const PG = createRequire(import.meta.url).resolve('pg')

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

/** A migration tool: sends the statements of its arguments, over `DATABASE_URL`. */
const TOOL = `
const pg = require(${JSON.stringify(PG)})
const client = new pg.Client(process.env.DATABASE_URL)
client.on('notice', ({ message }) => console.log('NOTICE:', message))
const run = async () => {
  await client.connect()
  for (const text of process.argv.slice(2)) await client.query(text)
}
run().then(() => process.exit(0), (error) => {
  console.error('error:', error.code, error.message)
  process.exit(1)
})
`

function release(config: string, env: Record<string, string> = {}): ReleaseApp {
  const name = `app-${Math.random().toString(36).slice(2)}`
  return new ReleaseApp(
    `export default { releaseVersion: 'v1', releaseLock: 'env:DIRECT_URL', releaseTableLockTimeout: '500ms', ${config} }`,
    { DIRECT_URL: url, DATABASE_URL: url, ...env },
    { 'tool.cjs': TOOL, 'package.json': JSON.stringify({ name, type: 'module' }) },
  )
}

describe('create index concurrently in a release step', () => {
  const invalid = async (): Promise<readonly string[]> => {
    const { rows } = await outsider.query(
      `select indexrelid::regclass::text as name from pg_index where not indisvalid`,
    )
    return rows.map(({ name }) => name)
  }
  const exists = async (name: string): Promise<boolean> => {
    const { rows } = await outsider.query('select to_regclass($1) as found', [name])
    return rows[0].found !== null
  }

  /** Keeps a transaction open that an index build on the table must wait for. */
  async function whileOld(table: string, work: (end: () => Promise<void>) => Promise<void>): Promise<void> {
    await outsider.query(`create table ${table} (a int)`)
    await outsider.query(`insert into ${table} select generate_series(1, 100)`)
    const reader = await server.outsider()
    await reader.query('begin isolation level repeatable read')
    await reader.query(`select count(*) from ${table}`)
    try {
      await work(async () => void (await reader.query('commit')))
    } finally {
      await reader.end()
    }
  }

  for (const ifNotExists of ['', 'if not exists ']) {
    const suffix = ifNotExists === '' ? 'plain' : 'if_not_exists'
    const sql = (index: string, table: string) => `create index concurrently ${ifNotExists}${index} on ${table} (a)`

    test(`of a command is built completely after an old transaction has ended (${suffix})`, async () => {
      const table = `command_${suffix}`
      await whileOld(table, async (end) => {
        await using app = release(
          `release: [{ name: 'idx', run: 'node tool.cjs "${sql(`${table}_idx`, table)}"', timeout: '60s' }]`,
        )
        const running = app.start()
        await until('an attempt to have left an invalid index', async () => (await invalid()).length > 0)
        await until('the index to be dropped before the next attempt', async () => {
          const { rows } = await outsider.query('select query from pg_stat_activity where pid <> pg_backend_pid()')
          return rows.some(({ query }) => String(query).startsWith('drop index concurrently'))
        })
        await end()
        const { code, stderr } = await running.ended
        assert.equal(code, 0, stderr)
      })
      assert.equal(await exists(`${table}_idx`), true)
      assert.deepEqual(await invalid(), [])
    })

    test(`of a function waits for the old transaction (${suffix})`, async () => {
      const table = `function_${suffix}`
      await whileOld(table, async (end) => {
        await using app = release(
          `release: [{ name: 'idx', run: ({ query }) => query('${sql(`${table}_idx`, table)}'), timeout: '60s' }]`,
        )
        const running = app.start()
        await until('the index to wait', async () => (await invalid()).length > 0)
        await new Promise((resolve) => setTimeout(resolve, 1_500))
        await end()
        const { code, stderr } = await running.ended
        assert.equal(code, 0, stderr)
        assert.deepEqual(
          running.progress.lines.filter(({ event }) => event === 'release-step-retrying'),
          [],
        )
      })
      assert.equal(await exists(`${table}_idx`), true)
      assert.deepEqual(await invalid(), [])
    })
  }

  test('that is never finished is not counted as done, by this release or the next one', async () => {
    await whileOld('never', async (end) => {
      const sql = 'create index concurrently if not exists never_idx on never (a)'
      await using app = release(`release: [{ name: 'idx', run: 'node tool.cjs "${sql}"', timeout: '4s' }]`)
      const first = await app.start().ended
      assert.equal(first.code, 4)
      await end()
      const second = await app.start().ended
      if (second.code === 0) assert.deepEqual(await invalid(), [])
      else
        assert.deepEqual(pick(second.end?.failure, 'phase', 'reason', 'indexes'), {
          phase: 'step',
          reason: 'invalid-index',
          indexes: ['never_idx'],
        })
    })
    await outsider.query('drop index if exists never_idx')
  })
})

/**
 * A pooler that refuses options at the start of a connection, as PgBouncer, Neon and RDS Proxy do.
 */
async function startStrictPooler(target: number): Promise<net.Server> {
  const pooler = net.createServer((near) => {
    near.on('error', () => {})
    near.once('data', (startup) => {
      if (startup.includes('\0options\0')) {
        const fields = ['SFATAL', 'VFATAL', 'C08P01', 'Munsupported startup parameter: options', '']
        const body = Buffer.from(fields.map((field) => `${field}\0`).join(''))
        const head = Buffer.alloc(5)
        head.write('E')
        head.writeInt32BE(body.length + 4, 1)
        near.end(Buffer.concat([head, body]))
        return
      }
      const far = net.connect(target, '127.0.0.1')
      far.on('error', () => near.destroy())
      near.on('close', () => far.destroy())
      far.write(startup)
      near.pipe(far)
      far.pipe(near)
    })
  })
  await new Promise<void>((resolve) => pooler.listen(0, '127.0.0.1', resolve))
  return pooler
}

/** Steps over `DATABASE_URL` and over `releaseLock`, and the tables that they create. */
async function assertStepsWork(name: string, env: Record<string, string>): Promise<void> {
  await using app = release(
    `release: [
      { name: 'tool', run: 'node tool.cjs "create table ${name}_tool (a int)"', timeout: '30s' },
      { name: 'function', run: ({ query }) => query('create table ${name}_function (a int)'), timeout: '30s' },
    ]`,
    env,
  )
  const { code, stderr } = await app.start().ended
  assert.equal(code, 0, stderr)
  const { rows } = await outsider.query(`select to_regclass('${name}_tool')::text as tool,
    to_regclass('${name}_function')::text as function`)
  assert.deepEqual(rows, [{ tool: `${name}_tool`, function: `${name}_function` }])
}

const through = (port: number): string => url.replace(`:${server.port}/`, `:${port}/`)

test('steps work through a pooler that refuses options at the start of a connection', async () => {
  const pooler = await startStrictPooler(server.port)
  try {
    const pooled = through((pooler.address() as net.AddressInfo).port)
    await assertStepsWork('pooler', { DATABASE_URL: pooled, DIRECT_URL: pooled })
  } finally {
    await new Promise((resolve) => pooler.close(resolve))
  }
})

describe('through PgBouncer', { skip: hasBouncer() ? false : 'pgbouncer is not installed' }, () => {
  test('in session mode, steps and the lock work', async () => {
    const bouncer = await startBouncer(server, 10, 'session')
    try {
      const pooled = through(bouncer.port)
      await assertStepsWork('session', { DATABASE_URL: pooled, DIRECT_URL: pooled })
    } finally {
      await bouncer.stop()
    }
  })

  test('in transaction mode, steps work beside a lock over a direct connection', async () => {
    const bouncer = await startBouncer(server, 2)
    try {
      await assertStepsWork('transaction', { DATABASE_URL: through(bouncer.port) })
    } finally {
      await bouncer.stop()
    }
  })
})

test('a machine that waits for the release lock survives a restart of the database', async () => {
  await using holder = release(
    `release: [{ name: 'long', run: 'node -e "require(\\'fs\\').writeFileSync(\\'begun\\', \\'\\'); setTimeout(() => {}, 60000)"' }]`,
  )
  await using waiter = new ReleaseApp(
    `export default { releaseVersion: 'v2', releaseLock: 'env:DIRECT_URL', release: [{ name: 'short', run: 'node -e 1' }] }`,
    { DIRECT_URL: url },
    {
      'package.json': await import('node:fs').then(({ readFileSync }) =>
        readFileSync(join(holder.directory.path, 'package.json'), 'utf8'),
      ),
    },
  )
  const holding = holder.start()
  await until('the holder to run its step', () => existsSync(join(holder.directory.path, 'begun')))
  const waiting = waiter.start()
  await until('the other to wait', () => waiting.progress.lines.some(({ event }) => event === 'release-lock-waiting'))
  await outsider.end()
  await server.restart()
  outsider = await server.outsider()
  assert.equal((await holding.ended).code, 4)
  const { code, stderr } = await waiting.ended
  assert.equal(code, 0, stderr)
})
