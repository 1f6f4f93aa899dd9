import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { redisMissing } from '../../test/process/support/redis.ts'
import type { BenchOptions } from '../bench.ts'
import { compareFigures } from '../compare.ts'
import { markdownTable, writeFigures } from '../figures.ts'
import { describeMachine } from '../http/machine.ts'
import { installContenders, versionOf } from '../install.ts'
import { formatSpread, spreadOf } from '../ratio.ts'
import { CONTENDERS } from './contenders.ts'
import { measureInvalidations } from './invalidations.ts'
import { measureFaults } from './redis-faults.ts'

const LOOP = join(import.meta.dirname, 'cache-loop.ts')
const ROUNDS_TO_RECORD = 9
const REQUESTS = 5_000
const INVALIDATIONS = 500
/** Targets: milliseconds, and multiples of the other caches. */
const MAX_TO_INVALIDATE = 100
/** The p99 while Redis fails may exceed the p99 without Redis by this many milliseconds. */
const MAX_DELAY = 60
const MAX_OF_LRU = 2
const MIN_OF_BENTO = 3

/**
 * Compares a hit with lru-cache and bentocache, and measures the loads that concurrent callers
 * cause, requests while Redis fails, and invalidations.
 */
export async function benchCache({ rounds, seconds, compare }: BenchOptions): Promise<void> {
  if (compare !== undefined) {
    const figures = ['punctual', 'punctual-copied'].map((name) => ({
      title: `hit, ${name} (ns)`,
      scripts: ['bench/cache/cache-loop.ts'],
      args: ['hit', name, String(seconds)],
      read: Number,
    }))
    compareFigures(compare, figures, rounds)
    return
  }
  installContenders()
  const { cpu, cores, kernel, node } = describeMachine()
  const parts = [
    `${cpu}, ${cores} cores, ${kernel}, Node ${node}, lru-cache ${versionOf('lru-cache')}, bentocache ${versionOf('bentocache')}; ${rounds} rounds of ${seconds} s.`,
    '### A hit in memory',
    'CPU time in nanoseconds: median (minimum–maximum). Ratios are computed within each round.',
    hitTable(measureHits(rounds, seconds)),
    '### Concurrent misses of one key',
    'The number of loads, and the time until the last caller has a result.',
    herdTable(),
  ]
  const missing = redisMissing()
  if (missing === null) {
    parts.push(
      '### A failing Redis',
      `Ten concurrent misses, with a source that takes 5 ms, from the moment of the fault. Target: no failed request, and a p99 at most ${MAX_DELAY} ms above the p99 without Redis.`,
      faultTable(await measureFaults(REQUESTS)),
      '### Invalidation',
      `The time until no worker serves the old value. Target: p99 below ${MAX_TO_INVALIDATE} ms.`,
      invalidationTable(await measureInvalidations(INVALIDATIONS)),
    )
  }
  const text = parts.join('\n\n')
  console.log(`${text}\n`)
  if (rounds < ROUNDS_TO_RECORD || missing !== null) {
    console.log(missing ?? `not saved: at least ${ROUNDS_TO_RECORD} rounds are required`)
    return
  }
  writeFigures('cache', text)
  console.log('written to docs/benchmarks.md')
}

type Samples = ReadonlyMap<string, readonly number[]>

function measureHits(rounds: number, seconds: number): Samples {
  const names = Object.keys(CONTENDERS)
  const samples = new Map<string, number[]>(names.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    // The order rotates because the machine may warm up or slow down.
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(turn + round) % names.length] as string
      samples.get(name)?.push(Number(loop('hit', name, seconds)))
    }
  }
  return samples
}

function hitTable(samples: Samples): string {
  const of = (name: string): readonly number[] => samples.get(name) ?? []
  const ratio = (name: string, base: string): number[] =>
    of(name).map((value, round) => value / (of(base)[round] ?? value))
  const rows = [...samples.keys()].map((name) => [
    CONTENDERS[name]?.title ?? name,
    formatSpread(spreadOf(of(name)), 0),
    formatSpread(spreadOf(ratio(name, 'lru-cache'))),
    formatSpread(spreadOf(ratio('bentocache', name))),
  ])
  const ofLru = spreadOf(ratio('punctual', 'lru-cache')).median
  const ofBento = spreadOf(ratio('bentocache', 'punctual')).median
  return [
    markdownTable(['Hit', 'CPU (ns)', 'Relative to lru-cache', 'Speed-up over bentocache'], rows),
    '',
    `Targets: at most ${MAX_OF_LRU}.0 times the cost of lru-cache (${ofLru.toFixed(2)}: ${ofLru <= MAX_OF_LRU ? 'met' : 'MISSED'}), ` +
      `at least ${MIN_OF_BENTO} times faster than bentocache (${ofBento.toFixed(1)}: ${ofBento >= MIN_OF_BENTO ? 'met' : 'MISSED'}).`,
  ].join('\n')
}

function herdTable(): string {
  const rows = ['lru-cache', 'punctual', 'bentocache'].map((name) => [
    CONTENDERS[name]?.title ?? name,
    ...['failing', 'slow'].flatMap((mode) => {
      const { loads, took } = JSON.parse(loop(mode, name, 1)) as { loads: number; took: number }
      return [String(loads), took.toFixed(0)]
    }),
  ])
  return markdownTable(
    [
      'Cache',
      '50 callers, load fails after 20 ms: loads',
      'ms',
      '20 callers with a timeout of 20 ms, load takes 500 ms: loads',
      'ms',
    ],
    rows,
  )
}

function faultTable(figures: Awaited<ReturnType<typeof measureFaults>>): string {
  const target = (figures[0]?.p99 ?? 0) + MAX_DELAY
  const rows = figures.map(({ fault, requests, failed, p50, p99, most }) => [
    fault,
    String(requests),
    String(failed),
    p50.toFixed(1),
    p99.toFixed(1),
    most.toFixed(1),
    failed === 0 && p99 <= target ? 'met' : 'MISSED',
  ])
  return markdownTable(['Redis', 'Requests', 'Failed', 'p50 (ms)', 'p99 (ms)', 'Max (ms)', 'Target'], rows)
}

function invalidationTable(figures: Awaited<ReturnType<typeof measureInvalidations>>): string {
  const rows = figures.map(({ what, times, p50, p99, most }) => [
    what,
    String(times),
    p50.toFixed(2),
    p99.toFixed(2),
    most.toFixed(1),
    p99 < MAX_TO_INVALIDATE ? 'met' : 'MISSED',
  ])
  return markdownTable(['Invalidation', 'Count', 'p50 (ms)', 'p99 (ms)', 'Max (ms)', 'Target'], rows)
}

function loop(mode: string, name: string, seconds: number): string {
  return execFileSync(process.execPath, [LOOP, mode, name, String(seconds)], {
    encoding: 'utf8',
    timeout: (seconds + 60) * 1_000,
    killSignal: 'SIGKILL',
  })
}
