import { StartedApp } from '../auth/started-app.ts'
import type { BenchOptions } from '../bench.ts'
import { writeFigures } from '../figures.ts'
import { describeMachine } from '../http/machine.ts'
import { type BothSides, CASES, type Case } from './cases.ts'
import { type Figures, measureCase, type Plan } from './measure.ts'
import { formatBars, formatPages } from './report.ts'

const AT_ONCE = 10
const REQUESTS_BY_ROUND = 100
/** As the incident says: 1,000 requests, 10 at once. Fewer are for a look, and are not written down. */
const ROUNDS_TO_RECORD = 10
/** A connection for each client, on either worker. */
const POOL = 10

/**
 * The third incident: pages of referrals of the reference app, before and after, on a PostgreSQL beside two workers. `rounds` are hundreds of requests
 * for each case.
 */
export async function benchReferrals({ rounds }: BenchOptions): Promise<void> {
  const plan: Plan = { requests: REQUESTS_BY_ROUND * rounds, atOnce: AT_ONCE }
  const { cpu, cores, kernel, node } = describeMachine()
  const results = new Map<Case, BothSides<Figures>>()
  tell('starting the app')
  const app = await StartedApp.start(POOL)
  try {
    for (const each of CASES) {
      tell(each.name)
      results.set(each, await measureCase(app, each, plan))
    }
  } finally {
    await app.stop()
  }
  const text = [
    `${cpu}, ${cores} cores, ${kernel}, Node ${node}; two workers under Punctual with ${POOL} connections each, PostgreSQL beside them; ${plan.atOnce} requests at once.`,
    formatPages(results),
    formatBars(results),
  ].join('\n\n')
  console.log(`${text}\n`)
  if (rounds < ROUNDS_TO_RECORD) {
    console.log(
      `not written down: that takes ${ROUNDS_TO_RECORD * REQUESTS_BY_ROUND} requests (--rounds ${ROUNDS_TO_RECORD})`,
    )
    return
  }
  writeFigures('referrals', text)
  console.log('written to docs/benchmarks.md')
}

function tell(what: string): void {
  console.error(`bench: ${what}`)
}
