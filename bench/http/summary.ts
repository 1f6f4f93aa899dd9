import { type Spread, spreadOf } from '../ratio.ts'
import type { AppName } from './contenders.ts'
import type { Mode } from './load.ts'
import type { Memory } from './machine.ts'
import type { Measured, MemorySample, Sample } from './measure.ts'

/** One contender with one app in one mode, compared with the baseline of its pair. */
export interface Standing {
  readonly app: AppName
  readonly mode: Mode
  readonly contender: string
  readonly requestsRatio: Spread
  readonly p99Ratio: Spread
  /** CPU time per request. */
  readonly cpuRatio: Spread
  readonly requestsPerSecond: Spread
  readonly p99Ms: Spread
  readonly cpuMicroseconds: Spread
}

/** Medians over the workers of all sessions, in MiB, and their difference from the baseline. */
export interface MemoryStanding {
  readonly app: AppName
  readonly contender: string
  readonly when: MemorySample['when']
  readonly median: Memory
  readonly overBaseline: Memory
}

export function standings({ samples }: Measured, baseline: string): readonly Standing[] {
  const found: Standing[] = []
  for (const [, group] of groups(samples, ({ app, mode, contender }) => `${app} ${mode} ${contender}`)) {
    const { app, mode, contender } = group[0]
    const bare = new Map(
      samples
        .filter((sample) => sample.contender === baseline && sample.app === app && sample.mode === mode)
        .map((sample) => [`${sample.round} ${sample.beside}`, sample]),
    )
    const ratios = (figure: (sample: Sample) => number): Spread =>
      spreadOf(
        group.flatMap((sample) => {
          const other = bare.get(`${sample.round} ${sample.beside}`)
          return other === undefined ? [] : [figure(sample) / figure(other)]
        }),
      )
    const spread = (figure: (sample: Sample) => number): Spread => spreadOf(group.map(figure))
    found.push({
      app,
      mode,
      contender,
      requestsRatio: ratios((sample) => sample.requestsPerSecond),
      p99Ratio: ratios((sample) => sample.p99Ms),
      cpuRatio: ratios((sample) => sample.cpuMicroseconds),
      requestsPerSecond: spread((sample) => sample.requestsPerSecond),
      p99Ms: spread((sample) => sample.p99Ms),
      cpuMicroseconds: spread((sample) => sample.cpuMicroseconds),
    })
  }
  return found
}

export function memoryStandings({ memory }: Measured, baseline: string): readonly MemoryStanding[] {
  const key = ({ app, when, contender }: Pick<MemorySample, 'app' | 'when' | 'contender'>): string =>
    `${app} ${when} ${contender}`
  const medians = new Map<string, Memory>()
  const all = groups(memory, key)
  for (const [name, group] of all) {
    const median = (figure: keyof Memory): number => spreadOf(group.map((sample) => sample[figure])).median
    medians.set(name, { rss: median('rss'), pss: median('pss'), uss: median('uss') })
  }
  return [...all].flatMap(([name, group]) => {
    const { app, when, contender } = group[0]
    const median = medians.get(name)
    const bare = medians.get(key({ app, when, contender: baseline }))
    if (median === undefined || bare === undefined) return []
    const overBaseline = { rss: median.rss - bare.rss, pss: median.pss - bare.pss, uss: median.uss - bare.uss }
    return [{ app, contender, when, median, overBaseline }]
  })
}

/**
 * Returns the share of the machine that other processes used during the measurements, from 0 to 1.
 */
export function noise({ samples }: Measured): Spread {
  return spreadOf(samples.map(({ others }) => others))
}

function groups<T>(values: readonly T[], key: (value: T) => string): Map<string, [T, ...T[]]> {
  const found = new Map<string, [T, ...T[]]>()
  for (const value of values) {
    const group = found.get(key(value))
    if (group === undefined) found.set(key(value), [value])
    else group.push(value)
  }
  return found
}
