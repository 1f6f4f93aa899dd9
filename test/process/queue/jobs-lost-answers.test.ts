import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import pg from 'pg'
import { type DurableQueue, durableQueue } from '../../../src/queue/durable-queue.ts'
import { type GraphileWorkerOptions, graphileWorker } from '../../../src/queue/graphile/graphile-worker.ts'
import { JobStore } from '../../../src/queue/graphile/job-store.ts'
import { startPostgres, type TestServer } from '../database/postgres.ts'
import { until } from '../support/until.ts'

const LIMIT = 60_000

let server: TestServer
let outsider: pg.Client
let pool: pg.Pool
let proxy: LossyProxy
let directory: string
let queue: DurableQueue<number>
let begun: number[]
/** The attempt number of each of these calls. */
let attempts: number[]
let handler: (items: number[]) => unknown

/** Forwards everything but the first answer with `loses`: that connection is destroyed. */
interface LossyProxy {
  readonly port: number
  /** The text whose answer is lost; null once it is. */
  loses: string | null
  /** As after a failover without a reset: open connections fall silent. New ones work. */
  desert(): void
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
    desert: () => {
      for (const socket of sockets) socket.pause()
    },
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
  attempts = []
  handler = () => {}
  pool = new pg.Pool({ ...server.options('test', proxy.port), max: 2 })
  pool.on('error', () => {})
})
afterEach(async () => {
  await queue?.close()
  await pool.end()
  await outsider.query('drop schema if exists graphile_worker cascade')
  await outsider.query('drop table if exists punctual_forwarded, punctual_job_pools')
  rmSync(directory, { recursive: true, force: true })
})

/** With a `releaseAfter` longer than the test: only this process can release its own jobs. */
function open(options: GraphileWorkerOptions = {}): void {
  queue = durableQueue<number>(
    'jobs',
    (items, { attempt }) => {
      begun.push(...items)
      attempts.push(attempt)
      return handler(items)
    },
    {
      stateDir: directory,
      transport: graphileWorker(pool, { heartbeat: '200ms', releaseAfter: '10m', pollInterval: '100ms', ...options }),
      backOff: { to: '200ms' },
      onEvent: () => {},
    },
  )
}

async function left(): Promise<number> {
  const { rows } = await outsider.query('select count(*)::int as n from graphile_worker.jobs')
  return rows[0].n
}

for (const jobs of [1, 2]) {
  test(`with ${jobs} at a time, a job whose end cannot be written is run again, and does not stay locked`, async () => {
    const ends: (() => void)[] = []
    handler = () => new Promise<void>((resolve) => ends.push(resolve))
    open({ concurrency: jobs })
    for (let n = 1; n <= jobs; n++) queue.push(n)
    await until('the jobs to begin', () => begun.length === jobs, LIMIT)
    handler = () => {}
    // Not the session that queries: within a transaction `pg_stat_activity` does not change.
    const locker = await server.outsider()
    try {
      await locker.query('begin')
      await locker.query('select 1 from graphile_worker._private_jobs for update')
      const waiting = `from pg_stat_activity where wait_event_type = 'Lock' and query like 'delete from %_private_jobs%'`
      for (const [index, end] of ends.entries()) {
        // One after the other: ends of the same moment are one statement.
        end()
        const written = async (): Promise<boolean> =>
          (await outsider.query(`select 1 ${waiting}`)).rowCount === index + 1
        await until('the end of the job to wait for the lock', written, LIMIT)
      }
      await outsider.query(`select pg_terminate_backend(pid) ${waiting}`)
    } finally {
      await locker.end()
    }
    // A job whose end was not written is run again.
    await until('the jobs to be gone', async () => (await left()) === 0, LIMIT)
    const numbers = Array.from({ length: jobs }, (_, index) => index + 1)
    assert.deepEqual(begun.toSorted(), [...numbers, ...numbers].toSorted())
    queue.push(9)
    await until('the next job to be carried out', () => begun.includes(9), LIMIT)
  })
}

test('a job whose lock was lost with its connection does not stay locked', async () => {
  open()
  queue.push(1)
  await until('the first job to be gone', async () => begun.length === 1 && (await left()) === 0, LIMIT)
  proxy.loses = '"item" : 4711'
  queue.push(4711)
  await until('the answer with the job to be lost', () => proxy.loses === null, LIMIT)
  await until('the job to be carried out', () => begun.includes(4711), LIMIT)
  await until('the job to be gone', async () => (await left()) === 0, LIMIT)
  assert.deepEqual(
    [begun, attempts],
    [
      [1, 4711],
      [1, 2],
    ],
  )
})

test('silent connections are destroyed, and jobs continue over others', async () => {
  open()
  queue.push(1)
  await until('the first job to be gone', async () => begun.length === 1 && (await left()) === 0, LIMIT)
  proxy.desert()
  const store = new JobStore('graphile_worker')
  // Its own pool: the connections of `pool` are silent too.
  const direct = new pg.Pool(server.options('direct'))
  try {
    await store.forward(direct, 'punctual:jobs', ['4711'], ['4711'])
  } finally {
    await direct.end()
  }
  await until('the job to be carried out', () => begun.includes(4711), LIMIT)
  await until('the job to be gone', async () => (await left()) === 0, LIMIT)
  assert.deepEqual(begun, [1, 4711])
})
