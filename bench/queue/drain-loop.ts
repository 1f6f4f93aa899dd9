// Part of `bench -- queue`: node drain-loop.ts <items> <connection string>
// Pushes that many events, and measures the event loop while they are inserted into PostgreSQL.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import pg from 'pg'
import { durableQueue } from '../../src/queue/durable-queue.ts'
import { EVENT } from './contenders.ts'

export interface Drained {
  /** Items per second. */
  readonly rate: number
  /** How late timers fired, in milliseconds. */
  readonly delay: { readonly p99: number; readonly worst: number }
  /** Most CPU time that this thread used between two timers, in milliseconds. */
  readonly own: number
  /** Rows in the table. */
  readonly rows: number
  /** Distinct items in the table. */
  readonly ids: number
}

const BURST = 1_000
/** Milliseconds. */
const PROBE_INTERVAL = 1

const [count = '', url = ''] = process.argv.slice(2)
const items = Number(count)
const stateDir = mkdtempSync(join(tmpdir(), 'punctual-bench-'))
const pool = new pg.Pool({ connectionString: url, max: 2 })
await pool.query('drop table if exists bench_drained')
await pool.query(
  'create table bench_drained (id text primary key, kind text not null, user_id integer not null, address text not null, agent text not null)',
)

let isOpen = false
const queue = durableQueue<typeof EVENT>(
  'drain',
  async (events, { ids }) => {
    while (!isOpen) await turn()
    await pool.query(
      `insert into bench_drained (id, kind, user_id, address, agent)
       select * from unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[]) on conflict (id) do nothing`,
      [
        ids,
        events.map(({ kind }) => kind),
        events.map(({ user }) => user),
        events.map(({ address }) => address),
        events.map(({ agent }) => agent),
      ],
    )
  },
  { stateDir, maxItems: items, maxBytes: '4GiB', timeout: '10m' },
)
for (let pushed = 0; pushed < items; pushed += BURST) {
  for (let index = 0; index < Math.min(BURST, items - pushed); index++) queue.push(EVENT)
  await turn()
}

const late: number[] = []
let own = 0
let lookedAt = performance.now()
let cpu = process.threadCpuUsage()
const probe = setInterval(() => {
  const now = performance.now()
  const used = process.threadCpuUsage(cpu)
  late.push(Math.max(0, now - lookedAt - PROBE_INTERVAL))
  own = Math.max(own, (used.user + used.system) / 1_000)
  lookedAt = now
  cpu = process.threadCpuUsage()
}, PROBE_INTERVAL)
const from = performance.now()
isOpen = true
while (!(await queue.flush('1m'))) console.error(`${queue.stats().depth} items remain`)
const took = performance.now() - from
clearInterval(probe)
await queue.close()
const { rows } = await pool.query('select count(*)::int as rows, count(distinct id)::int as ids from bench_drained')
await pool.end()
rmSync(stateDir, { recursive: true, force: true })
late.sort((one, other) => one - other)
const drained: Drained = {
  rate: (items / took) * 1_000,
  delay: { p99: late[Math.floor(late.length * 0.99)] ?? 0, worst: late.at(-1) ?? 0 },
  own,
  rows: rows[0].rows,
  ids: rows[0].ids,
}
console.log(JSON.stringify(drained))
