import { StartedApp } from '../auth/started-app.ts'
import type { BenchOptions } from '../bench.ts'
import { writeFigures } from '../figures.ts'
import { describeMachine } from '../http/machine.ts'
import { type BothSides, CASES, type Case } from './cases.ts'
import { type Figures, measureCase, type Plan } from './measure.ts'
import { formatPages, formatTargets } from './report.ts'

const CONCURRENCY = 10
const REQUESTS_PER_ROUND = 100
/** As in the incident: 1,000 requests, 10 at a time. Results of fewer are not saved. */
const ROUNDS_TO_RECORD = 10
/** One connection per client, on either worker. */
const POOL = 10

/**
 * Measures the third incident: pages of referrals of the reference app, before and after, with two
 * workers and PostgreSQL. `rounds` is in hundreds of requests per case.
 */
export async function benchReferrals({ rounds }: BenchOptions): Promise<void> {
  const plan: Plan = { requests: REQUESTS_PER_ROUND * rounds, concurrency: CONCURRENCY }
  const { cpu, cores, kernel, node } = describeMachine()
  const results = new Map<Case, BothSides<Figures>>()
  logProgress('starting the app')
  const app = await StartedApp.start(POOL)
  try {
    for (const each of CASES) {
      logProgress(each.name)
      results.set(each, await measureCase(app, each, plan))
    }
  } finally {
    await app.stop()
  }
  const text = [
    `${cpu}, ${cores} cores, ${kernel}, Node ${node}; two workers under Punctual with ${POOL} connections each, PostgreSQL on the same machine; ${plan.concurrency} requests at a time.`,
    formatPages(results),
    formatTargets(results),
  ].join('\n\n')
  console.log(`${text}\n`)
  if (rounds < ROUNDS_TO_RECORD) {
    console.log(
      `not saved: ${ROUNDS_TO_RECORD * REQUESTS_PER_ROUND} requests are required (--rounds ${ROUNDS_TO_RECORD})`,
    )
    return
  }
  writeFigures('referrals', text)
  console.log('written to docs/benchmarks.md')
}

function logProgress(what: string): void {
  console.error(`bench: ${what}`)
}
