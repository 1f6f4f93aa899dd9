import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import type { BenchOptions } from '../bench.ts'
import { compareFigures } from '../compare.ts'
import { markdownTable, writeFigures } from '../figures.ts'
import { formatSpread, type Spread, spreadOf } from '../ratio.ts'
import { MODES, type Mode } from './load.ts'

const LOOP = join(import.meta.dirname, 'per-request-loop.ts')
const ROUNDS_TO_RECORD = 9

/**
 * Measures the CPU time that the hooks add to a request, in microseconds. Each figure comes from
 * its own process, and the sides take turns.
 */
export async function benchPerRequest({ rounds, seconds, compare }: BenchOptions): Promise<void> {
  if (compare !== undefined) {
    const figures = MODES.map((mode) => ({
      title: `${mode}, with hooks (µs)`,
      scripts: ['bench/http/per-request-loop.ts'],
      args: ['hooked', mode, String(seconds)],
      read: (output: string) => Number(output) / 1_000,
    }))
    compareFigures(compare, figures, rounds)
    return
  }
  const rows: string[][] = []
  for (const mode of MODES) {
    const bare: number[] = []
    const hooked: number[] = []
    for (let round = 0; round < rounds; round++) {
      // The order alternates because the machine may warm up or slow down.
      const sides = [
        () => bare.push(microseconds('bare', mode, seconds)),
        () => hooked.push(microseconds('hooked', mode, seconds)),
      ]
      for (const side of round % 2 === 0 ? sides : sides.toReversed()) side()
    }
    const added: Spread = spreadOf(hooked.map((value, round) => value - (bare[round] ?? value)))
    rows.push([mode, formatSpread(spreadOf(bare)), formatSpread(spreadOf(hooked)), formatSpread(added)])
  }
  const text = markdownTable(['Requests', 'Bare (µs)', 'With hooks (µs)', 'Added (µs)'], rows)
  console.log(`${text}\n`)
  if (rounds < ROUNDS_TO_RECORD) {
    console.log(`not saved: at least ${ROUNDS_TO_RECORD} rounds are required`)
    return
  }
  writeFigures('per-request', text)
  console.log('written to docs/benchmarks.md')
}

function microseconds(side: 'bare' | 'hooked', mode: Mode, seconds: number): number {
  const output = execFileSync(process.execPath, [LOOP, side, mode, String(seconds)], {
    encoding: 'utf8',
    timeout: (seconds + 30) * 1_000,
    killSignal: 'SIGKILL',
  })
  return Number(output) / 1_000
}
