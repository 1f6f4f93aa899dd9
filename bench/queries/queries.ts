import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import type { BenchOptions } from '../bench.ts'
import { markdownTable, writeFigures } from '../figures.ts'
import { describeMachine } from '../http/machine.ts'
import { formatSpread, spreadOf } from '../ratio.ts'

const LOOP = join(import.meta.dirname, 'queries-loop.ts')
const ROUNDS_TO_RECORD = 9
const MODES: Readonly<Record<string, string>> = {
  request: 'Ten queries in a request',
  repeated: 'One query, 100 times in a request, with its caller recorded',
  built: 'Ten queries, with texts concatenated on every call',
  literals: 'Ten queries with literal values, every text different',
}

/**
 * Measures the cost of counting a query: the same loop with and without it, in turns, each in its
 * own process.
 */
export async function benchQueries({ rounds, seconds }: BenchOptions): Promise<void> {
  const { cpu, cores, kernel, node } = describeMachine()
  const rows = Object.entries(MODES).map(([mode, title]) => {
    const costs = Array.from({ length: rounds }, () => {
      const [bare, counted] = [nanoseconds(mode, 'bare', seconds), nanoseconds(mode, 'counted', seconds)]
      return counted - bare
    })
    return [title, formatSpread(spreadOf(costs), 0)]
  })
  const text = [
    `${cpu}, ${cores} cores, ${kernel}, Node ${node}; ${rounds} rounds of ${seconds} s. CPU time that counting adds to a query, in nanoseconds: median (minimum–maximum).`,
    markdownTable(['Queries', 'Added (ns)'], rows),
  ].join('\n\n')
  console.log(`${text}\n`)
  if (rounds < ROUNDS_TO_RECORD) {
    console.log(`not saved: at least ${ROUNDS_TO_RECORD} rounds are required`)
    return
  }
  writeFigures('queries', text)
  console.log('written to docs/benchmarks.md')
}

function nanoseconds(mode: string, side: string, seconds: number): number {
  const output = execFileSync(process.execPath, [LOOP, mode, side, String(seconds)], {
    encoding: 'utf8',
    timeout: (seconds + 30) * 1_000,
    killSignal: 'SIGKILL',
  })
  return Number(output)
}
