// Part of `bench -- queries`: node queries-loop.ts <mode> <counted|bare> <seconds>
// Prints the CPU time per query in nanoseconds.

import { countQuery } from '../../src/query-insight/count-query.ts'
import type { RequestQueries } from '../../src/query-insight/request-queries.ts'
import { monotonicNow, NO_DEADLINE } from '../../src/resilience/clock.ts'
import { currentParent, WaitScope } from '../../src/resilience/wait-scope.ts'

const [mode = '', side = '', seconds] = process.argv.slice(2)

/** The part of a request that is used. */
class Request extends WaitScope {
  queries: RequestQueries | null = null
  readonly maxQueriesPerRequest = null
}

/** The number of queries per request, and the text of the n-th query. */
const MODES: Readonly<Record<string, { readonly queries: number; text(n: number): string }>> = {
  request: { queries: 10, text: (n) => TEXTS[n] as string },
  built: { queries: 10, text: (n) => `select * from table_${n} where id = $1 and tenant = $2 and deleted_at is null` },
  repeated: { queries: 100, text: () => TEXTS[0] as string },
  literals: { queries: 10, text: (n) => `select * from table_${n} where id = ${unique++} and deleted_at is null` },
}
const TEXTS = Array.from(
  { length: 10 },
  (_, n) => `select * from table_${n} where id = $1 and tenant = $2 and deleted_at is null`,
)
const VALUES = Array.from({ length: 100 }, (_, n) => [n, 'tenant'])
const REQUESTS = 100
/** Constant, because the wait around a query reads the clock anyway. */
const NOW = monotonicNow()
let unique = 0
let seen = 0

const chosen = MODES[mode]
if (chosen === undefined) throw new Error(`unknown mode "${mode}"`)
const { queries, text } = chosen
const isCounted = side === 'counted'

function ask(): void {
  for (let n = 0; n < queries; n++) {
    const sql = text(n)
    // The driver does this with each text, counted or not: it flattens a text that was
    // concatenated.
    seen += Buffer.byteLength(sql)
    // Every wait does this, counted or not: it looks up its request.
    const { home } = currentParent()
    seen += home === null ? 1 : 0
    if (isCounted) countQuery(sql, VALUES[n], 'main', true, NOW, home)?.ended(1, false, NOW, NOW)
  }
}

function batch(): void {
  for (let request = 0; request < REQUESTS; request++) {
    const scope = new Request(monotonicNow(), NO_DEADLINE)
    scope.enter(ask)
    scope.queries?.ended({ method: 'GET', route: '/x', isPattern: true }, null)
  }
}

/** CPU time, because other processes may use the machine. */
function cpuNanoseconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1_000
}

async function measure(length: number): Promise<number> {
  const end = performance.now() + length * 1_000
  const from = cpuNanoseconds()
  let count = 0
  while (performance.now() < end) {
    batch()
    count += REQUESTS * queries
    // Summaries of requests are written in separate turns of the event loop.
    await new Promise((resolve) => setImmediate(resolve))
  }
  return (cpuNanoseconds() - from) / count
}

// Warms up the compiler.
await measure(0.5)
console.log(await measure(Number(seconds)))
process.exit(seen < 0 ? 1 : 0)
