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
/** Milliseconds. */
const MOST_TO_REACH = 100
const SOFT_LIMIT = 50
const MOST_OF_LRU = 2
const LEAST_OF_BENTO = 3

/** What a hit costs beside lru-cache and bentocache, how often a loader is called by a herd, and what requests see of a Redis that fails. */
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
    'Nanoseconds of CPU, median (least–most); ratios are taken in each round.',
    hitTable(measureHits(rounds, seconds)),
    '### A herd',
    'How often the loader was called, and when the last caller had an answer.',
    herdTable(),
  ]
  const missing = redisMissing()
  if (missing === null) {
    parts.push(
      '### A Redis that fails',
      `Misses, ten at a time, on a source of 5 ms, from the moment it fails. Bar: none failed, p99 at most ${SOFT_LIMIT + 10} ms above that of no Redis at all.`,
      faultTable(await measureFaults(REQUESTS)),
      '### An invalidation',
      `How long it takes until nobody answers with the old value. Bar: under ${MOST_TO_REACH} ms.`,
      invalidationTable(await measureInvalidations(INVALIDATIONS)),
    )
  }
  const text = parts.join('\n\n')
  console.log(`${text}\n`)
  if (rounds < ROUNDS_TO_RECORD || missing !== null) {
    console.log(missing ?? `not written down: that takes at least ${ROUNDS_TO_RECORD} rounds`)
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
    // Who goes first changes, as the machine may warm up or slow down meanwhile.
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
    markdownTable(['Hit', 'CPU (ns)', 'Times lru-cache’s', 'Faster than bentocache'], rows),
    '',
    `Bars: at most ${MOST_OF_LRU}.0 times lru-cache’s (${ofLru.toFixed(2)}: ${ofLru <= MOST_OF_LRU ? 'met' : 'MISSED'}), ` +
      `at least ${LEAST_OF_BENTO} times faster than bentocache (${ofBento.toFixed(1)}: ${ofBento >= LEAST_OF_BENTO ? 'met' : 'MISSED'}).`,
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
  return markdownTable(['Cache', '50 on a failing 20 ms: loads', 'ms', '20 with 20 ms on 500 ms: loads', 'ms'], rows)
}

function faultTable(figures: Awaited<ReturnType<typeof measureFaults>>): string {
  const bar = (figures[0]?.p99 ?? 0) + SOFT_LIMIT + 10
  const rows = figures.map(({ fault, requests, failed, p50, p99, most }) => [
    fault,
    String(requests),
    String(failed),
    p50.toFixed(1),
    p99.toFixed(1),
    most.toFixed(1),
    failed === 0 && p99 <= bar ? 'met' : 'MISSED',
  ])
  return markdownTable(['Redis', 'Requests', 'Failed', 'p50 (ms)', 'p99 (ms)', 'Most (ms)', 'Bar'], rows)
}

function invalidationTable(figures: Awaited<ReturnType<typeof measureInvalidations>>): string {
  const rows = figures.map(({ what, times, p50, p99, most }) => [
    what,
    String(times),
    p50.toFixed(2),
    p99.toFixed(2),
    most.toFixed(1),
    p99 < MOST_TO_REACH ? 'met' : 'MISSED',
  ])
  return markdownTable(['An invalidation', 'Times', 'p50 (ms)', 'p99 (ms)', 'Most (ms)', 'Bar'], rows)
}

function loop(mode: string, name: string, seconds: number): string {
  return execFileSync(process.execPath, [LOOP, mode, name, String(seconds)], {
    encoding: 'utf8',
    timeout: (seconds + 60) * 1_000,
    killSignal: 'SIGKILL',
  })
}
