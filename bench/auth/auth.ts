import { redisMissing, startRedis } from '../../test/process/support/redis.ts'
import type { BenchOptions } from '../bench.ts'
import { writeFigures } from '../figures.ts'
import { describeMachine } from '../http/machine.ts'
import { measureCases, measureLockedTable, measureZipf, type Plan } from './measure.ts'
import { formatCases, formatLockedTable, formatZipf } from './report.ts'
import { StartedApp } from './started-app.ts'

/** The duration of the lock in the incident. Results of a shorter one are not saved. */
const SECONDS_TO_RECORD = 30
const CONCURRENCY = 100
/** One connection per client, so that the figures show the queries alone. */
const LARGE_POOL = CONCURRENCY
/** The default of `pg`. It is exhausted, as in the incident. */
const SMALL_POOL = 10
const DELAY: Plan['delay'] = [100, 250]

/**
 * Measures the second incident: `POST /api/auth` of the reference app, before and after, with two
 * workers and a PostgreSQL whose queries take 100 to 250 ms. `seconds` is how long a table is
 * locked, `rounds` is in thousands of requests per case.
 */
export async function benchAuth({ rounds, seconds }: BenchOptions): Promise<void> {
  const plan: Plan = { requests: 1_000 * rounds, concurrency: CONCURRENCY, delay: DELAY }
  const redis = redisMissing() === null
  const isComplete = seconds >= SECONDS_TO_RECORD && redis
  const { cpu, cores, kernel, node } = describeMachine()
  const parts = [
    `${cpu}, ${cores} cores, ${kernel}, Node ${node}; two workers under Punctual, PostgreSQL ${redis ? 'and Redis ' : ''}on the same machine, each query delayed by ${DELAY.join('–')} ms; ` +
      `${plan.requests} requests per case, ${CONCURRENCY} at a time.`,
  ]
  await withApp(LARGE_POOL, async (app) => {
    parts.push(`### ${LARGE_POOL} connections per worker`, formatCases(await measureCases(app, plan, logProgress)))
    logProgress('Zipf measurement')
    const found = formatZipf(await measureZipf(app, plan))
    parts.push(
      "Users are drawn by Zipf's law: user k sends 1/k as many requests as user 1. The cache is empty at the start.",
      found,
    )
    const locked = await measureLockedTable(app, plan, seconds * 1_000, logProgress)
    parts.push(
      `The users table is locked for ${seconds} s (\`LOCK TABLE … IN ACCESS EXCLUSIVE MODE\`):`,
      formatLockedTable(locked),
    )
  })
  if (isComplete) {
    await withApp(SMALL_POOL, async (app) => {
      const cases = await measureCases(app, plan, logProgress)
      parts.push(`### ${SMALL_POOL} connections per worker: too few for ${CONCURRENCY} clients`, formatCases(cases))
    })
  }
  const text = parts.join('\n\n')
  console.log(`${text}\n`)
  if (!isComplete) {
    console.log(
      `not saved: redis-server and a lock of ${SECONDS_TO_RECORD} s are required (--seconds ${SECONDS_TO_RECORD})`,
    )
    return
  }
  writeFigures('auth', text)
  console.log('written to docs/benchmarks.md')
}

async function withApp(poolMax: number, work: (app: StartedApp) => Promise<void>): Promise<void> {
  logProgress(`starting the app with ${poolMax} connections per worker`)
  const redis = redisMissing() === null ? await startRedis() : null
  try {
    const app = await StartedApp.start(poolMax, redis?.url ?? null)
    try {
      await work(app)
    } finally {
      await app.stop()
    }
  } finally {
    await redis?.stop()
  }
}

function logProgress(what: string): void {
  console.error(`bench: ${what}`)
}
