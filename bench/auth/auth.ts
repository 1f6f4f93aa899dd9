import { redisMissing, startRedis } from '../../test/process/support/redis.ts'
import type { BenchOptions } from '../bench.ts'
import { writeFigures } from '../figures.ts'
import { describeMachine } from '../http/machine.ts'
import { measureCases, measureCrowd, measureHung, type Plan } from './measure.ts'
import { formatCases, formatCrowd, formatHung } from './report.ts'
import { StartedApp } from './started-app.ts'

/** The incident's lock. A shorter one is for a look, and is not written down. */
const SECONDS_TO_RECORD = 30
const AT_ONCE = 100
/** As many as there are clients: nobody waits for a connection, so that the figures are those of the queries. */
const WIDE_POOL = AT_ONCE
/** What an app has that nobody thought about. Here it runs dry, as it did in the incident. */
const NARROW_POOL = 10
const DELAY: Plan['delay'] = [100, 250]

/**
 * The table of the second incident: `POST /api/auth` of the reference app, before and after, on a PostgreSQL whose queries take 100 to 250 ms, under two workers. `seconds` is
 * how long a table hangs, `rounds` the thousands of requests for each case.
 */
export async function benchAuth({ rounds, seconds }: BenchOptions): Promise<void> {
  const plan: Plan = { requests: 1_000 * rounds, atOnce: AT_ONCE, delay: DELAY }
  const redis = redisMissing() === null
  const whole = seconds >= SECONDS_TO_RECORD && redis
  const { cpu, cores, kernel, node } = describeMachine()
  const parts = [
    `${cpu}, ${cores} cores, ${kernel}, Node ${node}; two workers under Punctual, PostgreSQL ${redis ? 'and Redis ' : ''}beside them, ${DELAY.join('–')} ms for each query; ` +
      `${plan.requests} requests for each case, ${AT_ONCE} at once.`,
  ]
  await withApp(WIDE_POOL, async (app) => {
    parts.push(`### ${WIDE_POOL} connections for each worker`, formatCases(await measureCases(app, plan, tell)))
    tell('a crowd')
    const found = formatCrowd(await measureCrowd(app, plan))
    parts.push(
      "Users who come by Zipf's law, the k-th of them 1/k as often as the first, to a cache that is empty at first:",
      found,
    )
    const hung = await measureHung(app, plan, seconds * 1_000, tell)
    parts.push(
      `The table of users is locked for ${seconds} s (\`LOCK TABLE … IN ACCESS EXCLUSIVE MODE\`):`,
      formatHung(hung),
    )
  })
  if (whole) {
    await withApp(NARROW_POOL, async (app) => {
      const cases = await measureCases(app, plan, tell)
      parts.push(`### ${NARROW_POOL} connections for each worker: too few for so many clients`, formatCases(cases))
    })
  }
  const text = parts.join('\n\n')
  console.log(`${text}\n`)
  if (!whole) {
    console.log(
      `not written down: that takes a Redis and a lock of ${SECONDS_TO_RECORD} s (--seconds ${SECONDS_TO_RECORD})`,
    )
    return
  }
  writeFigures('auth', text)
  console.log('written to docs/benchmarks.md')
}

async function withApp(poolMax: number, work: (app: StartedApp) => Promise<void>): Promise<void> {
  tell(`starting the app with ${poolMax} connections for each worker`)
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

function tell(what: string): void {
  console.error(`bench: ${what}`)
}
