// One of several machines that share PostgreSQL. It pushes items to a queue with graphile-worker,
// and runs the jobs of all machines. It logs each persisted and each handled item.
//
// jobs.ts <JSON of Machine>
import { openSync } from 'node:fs'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { durableQueue } from '../../../../src/queue/durable-queue.ts'
import { graphileWorker } from '../../../../src/queue/graphile/graphile-worker.ts'
import { appendLines } from './whole-lines.ts'

export interface Machine {
  readonly name: string
  readonly database: pg.PoolConfig
  readonly stateDir: string
  readonly acknowledged: string
  readonly handled: string
  /** Whether it runs jobs. */
  readonly run: boolean
  /** Number of items to push. */
  readonly defers: number | 'unlimited'
  /** Jobs begin and do not end. */
  readonly hangs?: boolean
}

interface Item {
  readonly by: string
  readonly n: number
}

const machine = JSON.parse(process.argv[2] ?? '') as Machine
const { name, database, stateDir, acknowledged, handled, run, defers, hangs } = machine
const pool = new pg.Pool({ ...database, max: 2 })
pool.on('error', () => {})

const work = durableQueue<Item>(
  'jobs',
  async (items, { ids }) => {
    appendLines(
      handled,
      items.map(({ by, n }, index) => `${ids[index]} ${by} ${n} at ${name}`),
    )
    if (hangs === true) await sleep(600_000)
  },
  {
    stateDir,
    maxItems: 100_000,
    linger: '5ms',
    backOff: { to: '500ms' },
    timeout: '10m',
    transport: graphileWorker(pool, { run, heartbeat: '200ms', releaseAfter: '1s', pollInterval: '200ms' }),
    onEvent: ({ message }) => console.log(message),
  },
)

const file = openSync(acknowledged, 'a')
for (let n = 0; defers === 'unlimited' || n < defers; n++) {
  if (work.push({ by: name, n }) === 'persisted') appendLines(file, [`${name} ${n}`])
  if (n % 10 !== 0) continue
  do await setImmediate()
  while (work.stats().depth > 200)
}
console.log('deferred')
if (!run) {
  while (!(await work.flush('30s'))) console.log('not yet forwarded')
  await work.close()
  await pool.end()
} else {
  // The end of the input is the request to stop.
  process.stdin.resume().on('end', async () => {
    await work.close('10s')
    await pool.end()
    console.log('closed')
  })
}
