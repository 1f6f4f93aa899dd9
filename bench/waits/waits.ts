import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import type { BenchOptions } from '../bench.ts'
import { compareFigures } from '../compare.ts'
import { markdownTable, writeFigures } from '../figures.ts'
import { describeMachine } from '../http/machine.ts'
import { installContenders, versionOf } from '../install.ts'
import { formatSpread, type Spread, spreadOf } from '../ratio.ts'
import { TIMERS, WAITS } from './contenders.ts'

const LOOP = join(import.meta.dirname, 'waits-loop.ts')
const ROUNDS_TO_RECORD = 9
const MODES = {
  alone: 'Outside a request',
  request: 'Ten waits in a request, with AsyncLocalStorage and the list of waits',
} as const

/**
 * Compares `withTimeout` with no timeout, `Promise.race` and cockatiel. Each figure comes from its
 * own process; the contenders take turns.
 */
export async function benchWaits({ rounds, seconds, compare }: BenchOptions): Promise<void> {
  if (compare !== undefined) {
    const read = Number
    const scripts = ['bench/waits/waits-loop.ts']
    const figures = [
      ...Object.keys(MODES).map((mode) => ({
        title: `${mode} (ns)`,
        scripts,
        args: [mode, 'within', String(seconds)],
        read,
      })),
      { title: 'timer (ns)', scripts, args: ['timer', 'wheel', String(seconds)], read },
    ]
    compareFigures(compare, figures, rounds)
    return
  }
  installContenders()
  const { cpu, cores, kernel, node } = describeMachine()
  const parts = [
    `${cpu}, ${cores} cores, ${kernel}, Node ${node}, cockatiel ${versionOf('cockatiel')}; ${rounds} rounds of ${seconds} s. ` +
      'CPU time per wait in nanoseconds: median (minimum–maximum). Ratios are computed within each round.',
  ]
  for (const [mode, title] of Object.entries(MODES)) {
    parts.push(`### ${title}`, table(measure(mode, Object.keys(WAITS), rounds, seconds), WAITS))
  }
  parts.push(
    '### Setting and cancelling a timer',
    table(measure('timer', Object.keys(TIMERS), rounds, seconds), TIMERS),
  )
  const text = parts.join('\n\n')
  console.log(`${text}\n`)
  if (rounds < ROUNDS_TO_RECORD) {
    console.log(`not saved: at least ${ROUNDS_TO_RECORD} rounds are required`)
    return
  }
  writeFigures('waits', text)
  console.log('written to docs/benchmarks.md')
}

type Samples = ReadonlyMap<string, readonly number[]>

function measure(mode: string, names: readonly string[], rounds: number, seconds: number): Samples {
  const samples = new Map<string, number[]>(names.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    // The order rotates because the machine may warm up or slow down.
    const order = names.map((_, index) => names[(index + round) % names.length] as string)
    for (const name of order) samples.get(name)?.push(nanoseconds(mode, name, seconds))
  }
  return samples
}

/** Formats the figures, each with its ratio to the first contender, which is Punctual. */
function table(samples: Samples, titles: Readonly<Record<string, { readonly title: string }>>): string {
  const [own = []] = samples.values()
  const rows = [...samples].map(([name, values]) => {
    const ratio: Spread = spreadOf(values.map((value, round) => value / (own[round] ?? value)))
    return [titles[name]?.title ?? name, formatSpread(spreadOf(values), 0), formatSpread(ratio)]
  })
  return markdownTable(['Wait', 'CPU (ns)', 'Relative to Punctual'], rows)
}

function nanoseconds(mode: string, name: string, seconds: number): number {
  const output = execFileSync(process.execPath, [LOOP, mode, name, String(seconds)], {
    encoding: 'utf8',
    timeout: (seconds + 30) * 1_000,
    killSignal: 'SIGKILL',
  })
  return Number(output)
}
