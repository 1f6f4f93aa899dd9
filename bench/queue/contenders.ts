import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { durableQueue } from '../../src/queue/durable-queue.ts'
import type { Durability } from '../../src/queue/queue-options.ts'

/** 200 bytes as JSON. */
export const EVENT: Readonly<Record<string, unknown>> = {
  kind: 'login',
  user: 4711,
  address: '192.0.2.17',
  agent: 'x'.repeat(138),
}

/** Connection strings of the servers that the other contenders use. */
export interface Places {
  readonly postgres: string
  readonly redis: string
}

/** A contender, started in the process that measures it. */
export interface Job {
  /** Pushes an event. The caller awaits the result unless it is undefined. */
  push(): Promise<unknown> | undefined
  /** Items that wait in this process; always 0 for the other contenders. */
  depth(): number
  close(): Promise<unknown>
}

export interface Contender {
  readonly title: string
  /** Its npm package; null for Punctual. */
  readonly module: string | null
  make(places: Places): Promise<Job>
}

/** The keys are stable: `--compare` passes them to an older checkout. */
export const CONTENDERS: Readonly<Record<string, Contender>> = {
  defer: { title: '`durableQueue`', module: null, make: async () => punctual('process') },
  'defer-disk': { title: '`durableQueue`, `durability: disk`', module: null, make: async () => punctual('disk') },
  bullmq: { title: 'BullMQ `add`', module: 'bullmq', make: bullmq },
  graphile: { title: 'graphile-worker `addJob`', module: 'graphile-worker', make: graphile },
  'pg-boss': { title: 'pg-boss `send`', module: 'pg-boss', make: pgBoss },
  insert: { title: '`INSERT` with `pg`', module: 'pg', make: insert },
}

/** More than a run pushes, so that no item is dropped. */
const MAX_ITEMS = 5_000_000

function punctual(durability: Durability): Job {
  const stateDir = mkdtempSync(join(tmpdir(), 'punctual-bench-'))
  const queue = durableQueue('bench', () => {}, {
    stateDir,
    durability,
    maxItems: MAX_ITEMS,
    maxBytes: '4GiB',
    onEvent: ({ message }) => console.error(message),
  })
  return {
    push: () => {
      if (queue.push(EVENT) !== 'persisted') throw new Error('an event was not persisted; the figure would be wrong')
      return undefined
    },
    depth: () => queue.stats().depth,
    close: async () => {
      await queue.close(0)
      rmSync(stateDir, { recursive: true, force: true })
    },
  }
}

// The types are structural because the packages are installed for the benches only.
async function load<Module>(name: string): Promise<Module> {
  return (await import(name)) as Module
}

async function bullmq({ redis }: Places): Promise<Job> {
  const { Queue } = await load<{
    Queue: new (
      name: string,
      options: object,
    ) => { add(name: string, data: object): Promise<unknown>; close(): Promise<void> }
  }>('bullmq')
  const { hostname, port } = new URL(redis)
  const queue = new Queue('bench', { connection: { host: hostname, port: Number(port) } })
  return { push: () => queue.add('event', EVENT), depth: () => 0, close: () => queue.close() }
}

async function graphile({ postgres }: Places): Promise<Job> {
  const { makeWorkerUtils, Logger } = await load<{
    makeWorkerUtils(
      options: object,
    ): Promise<{ addJob(task: string, payload: object): Promise<unknown>; release(): Promise<void> }>
    Logger: new (factory: () => () => void) => object
  }>('graphile-worker')
  const utils = await makeWorkerUtils({ connectionString: postgres, logger: new Logger(() => () => {}) })
  return { push: () => utils.addJob('event', EVENT), depth: () => 0, close: () => utils.release() }
}

async function pgBoss({ postgres }: Places): Promise<Job> {
  const { PgBoss } = await load<{
    PgBoss: new (
      url: string,
    ) => {
      start(): Promise<unknown>
      stop(options: object): Promise<void>
      on(event: 'error', listener: (error: Error) => void): unknown
      createQueue(name: string): Promise<unknown>
      send(name: string, data: object): Promise<unknown>
    }
  }>('pg-boss')
  const boss = new PgBoss(postgres)
  boss.on('error', (error) => console.error(error.message))
  await boss.start()
  await boss.createQueue('bench')
  return { push: () => boss.send('bench', EVENT), depth: () => 0, close: () => boss.stop({ graceful: false }) }
}

async function insert({ postgres }: Places): Promise<Job> {
  const pool = new pg.Pool({ connectionString: postgres, max: 10 })
  await pool.query(
    'create table if not exists bench_events (id bigint generated always as identity primary key, at timestamptz not null default now(), event json not null)',
  )
  return {
    push: () => pool.query('insert into bench_events (event) values ($1)', [EVENT]),
    depth: () => 0,
    close: () => pool.end(),
  }
}
