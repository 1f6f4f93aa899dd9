import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import pg from 'pg'
import { type Deferred, defer } from '../../../src/defer/defer.ts'
import { graphileWorker } from '../../../src/defer/graphile/graphile-worker.ts'
import { startPostgres, type TestServer } from '../database/postgres.ts'
import { until } from '../support/until.ts'

const LIMIT = 60_000

let server: TestServer
let outsider: pg.Client
let pool: pg.Pool
let proxy: LossyProxy
let directory: string
let queue: Deferred<number>
let begun: number[]
let handler: (items: number[]) => unknown

/** Passes everything on, but for the first answer that holds what it is to lose: that one goes, and its connection with it. */
interface LossyProxy {
  readonly port: number
  /** What it is to lose; null once it has. */
  loses: string | null
  close(): Promise<void>
}

async function startLossyProxy(target: number): Promise<LossyProxy> {
  const sockets = new Set<net.Socket>()
  const listener = net.createServer((near) => {
    const far = net.connect(target, '127.0.0.1')
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    near.on('data', (bytes) => far.write(bytes))
    far.on('data', (bytes) => {
      if (proxy.loses === null || !bytes.includes(proxy.loses)) return near.write(bytes)
      proxy.loses = null
      near.destroy()
    })
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const proxy: LossyProxy = {
    port: (listener.address() as AddressInfo).port,
    loses: null,
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => {
        listener.close(() => resolve())
      })
    },
  }
  return proxy
}

before(async () => {
  server = await startPostgres()
  outsider = await server.outsider()
  proxy = await startLossyProxy(server.port)
})
after(async () => {
  await outsider?.end()
  await proxy?.close()
  await server?.stop()
})
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'punctual-jobs-'))
  begun = []
  handler = () => {}
  pool = new pg.Pool({ ...server.options('test', proxy.port), max: 2 })
  pool.on('error', () => {})
  queue = defer<number>(
    'jobs',
    (items) => {
      begun.push(...items)
      return handler(items)
    },
    {
      stateDir: directory,
      // Longer than this test waits: only we ourselves can give our jobs back.
      via: graphileWorker(pool, { heartbeat: '200ms', releaseAfter: '10m', pollInterval: '100ms' }),
      backOff: { to: '200ms' },
      onEvent: () => {},
    },
  )
})
afterEach(async () => {
  await queue.close()
  await pool.end()
  await outsider.query('drop schema if exists graphile_worker cascade')
  await outsider.query('drop table if exists punctual_forwarded, punctual_job_pools')
  rmSync(directory, { recursive: true, force: true })
})

async function left(): Promise<number> {
  const { rows } = await outsider.query('select count(*)::int as n from graphile_worker.jobs')
  return rows[0].n
}

test('a job whose end cannot be written fails nothing else, and does not stay locked', async () => {
  const held = Promise.withResolvers<void>()
  handler = () => held.promise
  queue(1)
  await until('the job to begin', () => begun.length === 1, LIMIT)
  // Another session than the one that looks: within a transaction `pg_stat_activity` stays as it was seen first.
  const locker = await server.outsider()
  await locker.query('begin')
  await locker.query('select 1 from graphile_worker._private_jobs for update')
  held.resolve()
  handler = () => {}
  await until(
    'the end of the job to wait for the lock, and to be cut off',
    async () => {
      const { rowCount } = await outsider.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock' and query like '%_private_jobs%'`,
      )
      return rowCount === 1
    },
    LIMIT,
  )
  await locker.end()
  // Without a word of its end it is carried out again.
  await until('the job to be gone', async () => (await left()) === 0, LIMIT)
  assert.deepEqual(begun, [1, 1])
  queue(2)
  await until('the next job to be carried out', () => begun.includes(2), LIMIT)
})

test('a job that was taken and whose taking was never heard of does not stay locked', async () => {
  queue(1)
  await until('the first job to be gone', async () => begun.length === 1 && (await left()) === 0, LIMIT)
  proxy.loses = '"item" : 4711'
  queue(4711)
  await until('the answer with the job to be lost', () => proxy.loses === null, LIMIT)
  assert.deepEqual(begun, [1])
  await until('the job to be carried out', () => begun.includes(4711), LIMIT)
  await until('the job to be gone', async () => (await left()) === 0, LIMIT)
})
