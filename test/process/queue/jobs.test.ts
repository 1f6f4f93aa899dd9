import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { InvalidOptionError } from '../../../src/errors/punctual-error.ts'
import { guardPool } from '../../../src/postgres/guard-pool.ts'
import { type DurableQueue, durableQueue } from '../../../src/queue/durable-queue.ts'
import { type GraphileWorkerOptions, graphileWorker } from '../../../src/queue/graphile/graphile-worker.ts'
import { JobStore } from '../../../src/queue/graphile/job-store.ts'
import type { DurableQueueOptions } from '../../../src/queue/queue-options.ts'
import { deadLettersOf, retryDeadLetters } from '../../../src/queue/stored-queues.ts'
import { startPostgres, type TestServer } from '../database/postgres.ts'
import { LogLines } from '../support/log-lines.ts'
import { until, within } from '../support/until.ts'
import type { Machine } from './apps/jobs.ts'
import { readLines } from './apps/whole-lines.ts'

const APP = join(import.meta.dirname, 'apps/jobs.ts')
/** `JOB_KILLS=50` for the long form. */
const KILLS = Number(process.env.JOB_KILLS ?? 5)
/** Milliseconds of work before a kill, at most. */
const LONGEST_LIFE = 600
const LIMIT = 60_000
const QUICK: GraphileWorkerOptions = { heartbeat: '200ms', releaseAfter: '2s', pollInterval: '100ms' }

let server: TestServer
let pool: pg.Pool
let directory: string
const machines = new Set<ChildProcess>()
const queues: DurableQueue<never>[] = []

before(async () => {
  server = await startPostgres()
  pool = new pg.Pool({ ...server.options('test'), max: 4 })
  pool.on('error', () => {})
  guardPool('test', pool, { onEvent: () => {} })
})
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'punctual-jobs-'))
})
afterEach(async () => {
  for (const machine of machines) await kill(machine)
  await Promise.all(queues.splice(0).map((queue) => queue.close()))
  rmSync(directory, { recursive: true, force: true })
  // A connection may be older than the restart of the database.
  await until('the tables to be gone', () =>
    pool.query(
      'drop schema if exists graphile_worker cascade; drop table if exists punctual_forwarded, punctual_job_pools',
    ),
  )
})
after(async () => {
  await pool?.end()
  await server?.stop()
})

function start(name: string, machine: Partial<Machine>): { readonly child: ChildProcess; readonly log: LogLines } {
  const whole: Machine = {
    name,
    database: server.options(name),
    // Each machine has its own.
    stateDir: join(directory, name.replace(/\..*/, '')),
    acknowledged: join(directory, 'acknowledged'),
    handled: join(directory, 'handled'),
    run: true,
    defers: 0,
    ...machine,
  }
  const child = spawn(process.execPath, [APP, JSON.stringify(whole)], { stdio: ['pipe', 'pipe', 'inherit'] })
  machines.add(child)
  const log = new LogLines()
  if (child.stdout !== null) log.collect(child.stdout)
  return { child, log }
}

async function kill(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  machines.delete(child)
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  await within('the process to be gone', exited)
}

/** Opens a queue in this process. */
function open<Item>(
  handler: (items: Item[], context: { readonly attempt: number; readonly signal: AbortSignal }) => unknown,
  options: DurableQueueOptions = {},
  worker: GraphileWorkerOptions = QUICK,
): DurableQueue<Item> {
  const queue = durableQueue<Item>('jobs', handler, {
    stateDir: join(directory, 'here'),
    transport: graphileWorker(pool, worker),
    backOff: { to: '200ms' },
    onEvent: () => {},
    ...options,
  })
  queues.push(queue as DurableQueue<never>)
  return queue
}

function lines(name: 'acknowledged' | 'handled'): readonly string[] {
  return readLines(join(directory, name))
}

async function count(table: string): Promise<number> {
  const { rows } = await pool.query(`select count(*)::int as n from ${table}`)
  return rows[0].n
}

test('items of one machine are handled by another, once each, and leave nothing in the tables', async () => {
  const { log } = start('worker', {})
  const web = start('web', { run: false, defers: 200 })
  const [code] = await within('the machine that only defers to end', once(web.child, 'exit'), LIMIT)
  assert.equal(code, 0, web.log.text)
  await until(`200 items to be carried out; ${log.text}`, () => lines('handled').length >= 200, LIMIT)
  await until('the jobs to be deleted', async () => (await count('graphile_worker.jobs')) === 0)
  const items = lines('handled').map((line) => line.split(' ').slice(1, 3).join(' '))
  assert.deepEqual(items.toSorted(), lines('acknowledged').toSorted())
  assert.ok(lines('handled').every((line) => line.endsWith('at worker')))
})

test(`over ${KILLS} kills at random times two machines lose no item, and repeats have the same id`, async () => {
  let runs = 0
  const run = (place: string) => start(`${place}.${runs++}`, { defers: 'unlimited' }).child
  const alive = { north: run('north'), south: run('south') }
  for (let round = 0; round < KILLS; round++) {
    const seen = lines('acknowledged').length
    await until('items to be deferred', () => lines('acknowledged').length > seen + 20, LIMIT)
    await sleep(Math.random() * LONGEST_LIFE)
    const place = round % 2 === 0 ? 'north' : 'south'
    await kill(alive[place])
    alive[place] = run(place)
  }
  await Promise.all(Object.values(alive).map((child) => kill(child)))
  // They handle what is left in both spools, and in jobs that dead machines have locked.
  const last = ['north', 'south'].map((place) => start(`${place}.last`, {}))
  const handled = (): Set<string> => new Set(lines('handled').map((line) => line.split(' ').slice(1, 3).join(' ')))
  const missing = (): readonly string[] => {
    const had = handled()
    return lines('acknowledged').filter((item) => !had.has(item))
  }
  await until('all that was acknowledged to be carried out', () => missing().length === 0, LIMIT).catch(
    async (error: unknown) => {
      const { rows } = await pool.query(
        'select count(*), locked_by is not null as locked from graphile_worker.jobs group by 2',
      )
      throw new Error(
        `${missing().length} are missing; jobs: ${JSON.stringify(rows)}; ${last.map(({ log }) => log.text).join('\n')}`,
        { cause: error },
      )
    },
  )
  const ids = new Map<string, string>()
  for (const line of lines('handled')) {
    const [id = '', by, n] = line.split(' ')
    assert.equal(ids.get(`${by} ${n}`) ?? id, id, 'an item came with two ids')
    ids.set(`${by} ${n}`, id)
  }
})

test('the job of a killed machine is run by another once its heartbeat is overdue', async () => {
  const victim = start('victim', { hangs: true, defers: 1 })
  await until('the victim to begin', () => lines('handled').length === 1, LIMIT)
  await kill(victim.child)
  start('other', {})
  await until('the other machine to run it', () => lines('handled').some((line) => line.endsWith('at other')), LIMIT)
  assert.equal(new Set(lines('handled').map((line) => line.split(' ')[0])).size, 1)
  await until('nothing to be locked', async () => (await count('graphile_worker.jobs')) === 0)
})

test('a machine that stops finishes its job, and leaves no lock and no heartbeat', async () => {
  const { child, log } = start('leaver', { defers: 20 })
  await until('some to be carried out', () => lines('handled').length > 3, LIMIT)
  child.stdin?.end()
  const [code] = await within('the machine to leave', once(child, 'exit'), LIMIT)
  assert.equal(code, 0, log.text)
  assert.match(log.text, /closed/)
  assert.equal(await count('punctual_job_pools'), 0)
  assert.equal(await count('graphile_worker.jobs where locked_by is not null'), 0)
  assert.ok((await count('graphile_worker.jobs')) + lines('handled').length >= 20)
})

test('a job that is interrupted by a stop costs no attempt, and can be run at once', async () => {
  const attempts: number[] = []
  for (let stops = 1; stops <= 3; stops++) {
    const queue = open<number>(
      (_, { attempt, signal }) => {
        attempts.push(attempt)
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      },
      { attempts: 2 },
    )
    if (stops === 1) queue.push(1)
    await until('the job to run', () => attempts.length === stops)
    await queue.close('2s')
    const { rows } = await pool.query('select attempts, locked_at, run_at <= now() as due from graphile_worker.jobs')
    assert.deepEqual(rows, [{ attempts: 0, locked_at: null, due: true }])
  }
  assert.deepEqual(attempts, [1, 1, 1])
})

test('an item that is forwarded twice is one job, also while that runs and when it is done', async () => {
  const held = Promise.withResolvers<void>()
  const began: number[] = []
  const queue = open<number>(async (items) => {
    began.push(...items)
    if (items[0] === 1) await held.promise
  })
  queue.push(1)
  await until('the job to begin', () => began.length === 1, LIMIT)
  const store = new JobStore('graphile_worker')
  const { rows } = await pool.query('select id from punctual_forwarded')
  const id = rows[0].id
  const again = () => store.forward(pool, 'punctual:jobs', [id], ['1'])
  await again()
  held.resolve()
  await until('the job to be done', async () => (await count('graphile_worker.jobs')) === 0)
  await again()
  await store.forward(pool, 'punctual:jobs', [id, `${id}x`, `${id}y`], ['1', '[2]', '{"n":3}'])
  await until('the others to be carried out', () => began.length === 3, LIMIT)
  assert.deepEqual(
    began
      .slice(1)
      .map((item) => JSON.stringify(item))
      .toSorted(),
    ['[2]', '{"n":3}'],
  )
})

test('an item that fails too often becomes a dead letter on the last machine, and can be retried there', async () => {
  let works = false
  const attempts: number[] = []
  const queue = open<{ n: number }>(
    (_items, { attempt }) => {
      attempts.push(attempt)
      if (!works) throw new Error('not today')
    },
    { attempts: 1 },
  )
  queue.push({ n: 7 })
  const letters = deadLettersOf(join(directory, 'here'), 'jobs')
  await until('the dead letter', async () => (await letters.count()) === 1, LIMIT)
  const [letter] = await letters.list()
  assert.deepEqual([letter?.item, letter?.error.message, letter?.attempts], [{ n: 7 }, 'not today', 1])
  await until('the job to be gone', async () => (await count('graphile_worker.jobs')) === 0)
  works = true
  await queue.close()
  await retryDeadLetters(join(directory, 'here'), 'jobs', () => true)
  const tried = attempts.length
  const again = open<{ n: number }>((_items, { attempt }) => void attempts.push(attempt))
  await until('the retried item to be carried out', () => attempts.length === tried + 1, LIMIT)
  assert.equal(await letters.count(), 0)
  await until('the job to count', () => again.stats().jobs?.done === 1)
})

test('a permanent error dead-letters an item at once', async () => {
  const queue = open<number>(() => {
    throw Object.assign(new Error('never'), { permanent: true })
  })
  queue.push(1)
  await until('the dead letter', () => queue.stats().deadLetters === 1, LIMIT)
})

test('while the database is down, items wait in the spool, and are handled once it is up', async () => {
  const done: number[] = []
  const queue = open<number>((items) => void done.push(...items))
  queue.push(1)
  await until('the first to be carried out', () => done.length === 1, LIMIT)
  const restarted = server.restart()
  for (let n = 2; n <= 50; n++) assert.equal(queue.push(n), 'persisted')
  await restarted
  await until('the others to be carried out', () => new Set(done).size === 50, LIMIT)
})

test('invalid options are refused by name', () => {
  const refuses = (option: string, work: () => unknown): void =>
    assert.throws(work, (error) => error instanceof InvalidOptionError && error.details.option === option)
  refuses('pool', () => graphileWorker({} as never))
  refuses('releaseAfter', () => graphileWorker(pool, { heartbeat: '10s', releaseAfter: '15s' }))
  refuses('concurrency', () => graphileWorker(pool, { concurrency: 0 }))
  refuses('transport', () => durableQueue('no-transport', () => {}, { transport: {} as never }))
})
