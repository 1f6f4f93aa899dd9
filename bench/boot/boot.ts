import { setTimeout as sleep } from 'node:timers/promises'
import { SLOW_ROUTES } from '../../test/reference-app/campaigns/generate-routes.ts'
import type { BenchOptions } from '../bench.ts'
import { markdownTable, writeFigures } from '../figures.ts'
import { describeMachine } from '../http/machine.ts'
import { formatSpread, type Spread, spreadOf } from '../ratio.ts'
import { BootedApp } from './booted-app.ts'

const FIRST_PATHS = ['/api/me', '/api/brands', '/api/campaigns']
/** Results of fewer rounds are not saved. */
const ROUNDS_TO_RECORD = 5
/** Milliseconds between two requests while the rest loads. */
const REQUEST_INTERVAL = 200
const BOOT_TIMEOUT = '5s'
/** Milliseconds until the app counts as not killed at its boot timeout. */
const EXIT_TIMEOUT = 60_000
/** In seconds, percent and milliseconds. */
const TARGETS = { ready: 1.5, growth: 20, onReady: 100 }

interface Round {
  readonly beforeReady: number
  readonly ready: number
  readonly settled: number
  /** Durations of the requests sent on readiness. */
  readonly onReady: readonly number[]
  /** Durations of the requests sent until all modules were loaded. */
  readonly whileLoading: readonly number[]
}

/** Measures the fourth incident: the campaign dashboard with its 69 modules, before and after. */
export async function benchBoot({ rounds }: BenchOptions): Promise<void> {
  const { cpu, cores, kernel, node } = describeMachine()
  const killed = await killedAtTimeout()
  const measured: Round[] = []
  for (let round = 1; round <= rounds; round++) {
    console.error(`bench: round ${round} of ${rounds}`)
    measured.push(await measureRound())
  }
  const sum = SLOW_ROUTES.reduce((total, { cost }) => total + cost, 0)
  const text = [
    `${cpu}, ${cores} cores, ${kernel}, Node ${node}; one worker; ${SLOW_ROUTES.length} slow modules that take ${sum} ms in total, and seven critical ones; ${rounds} rounds.`,
    formatRounds(measured),
    `Before, with \`--boot-timeout ${BOOT_TIMEOUT}\`: ${killed}.`,
  ].join('\n\n')
  console.log(`${text}\n`)
  if (rounds < ROUNDS_TO_RECORD) {
    console.log(`not saved: at least ${ROUNDS_TO_RECORD} rounds are required`)
    return
  }
  writeFigures('boot', text)
  console.log('written to docs/benchmarks.md')
}

async function measureRound(): Promise<Round> {
  const before = await BootedApp.start('before')
  const beforeReady = await before.ready().finally(() => before.stop())
  const after = await BootedApp.start('after')
  try {
    const ready = await after.ready()
    const onReady = await Promise.all(FIRST_PATHS.map((path) => after.request(path)))
    const whileLoading: number[] = []
    const loaded = new AbortController()
    const asking = (async () => {
      for (let turn = 0; !loaded.signal.aborted; turn++) {
        await sleep(REQUEST_INTERVAL)
        whileLoading.push(await after.request(FIRST_PATHS[turn % FIRST_PATHS.length] as string))
      }
    })()
    // The requests and the wait for the modules end together; the first error is thrown.
    const [settledAfter] = await Promise.all([after.settled().finally(() => loaded.abort()), asking])
    return { beforeReady, ready, settled: ready + settledAfter, onReady, whileLoading }
  } finally {
    await after.stop()
  }
}

async function killedAtTimeout(): Promise<string> {
  const app = await BootedApp.start('before', ['--boot-timeout', BOOT_TIMEOUT])
  try {
    const code = await app.exit(EXIT_TIMEOUT)
    const why = /^punctual: (.*)$/m.exec(app.output)?.[1] ?? 'no error printed'
    return `exit code ${code}, "${why}"`
  } finally {
    await app.stop()
  }
}

function formatRounds(rounds: readonly Round[]): string {
  const seconds = (figure: (round: Round) => number): Spread => spreadOf(rounds.map((round) => figure(round) / 1_000))
  const before = formatSpread(seconds(({ beforeReady }) => beforeReady))
  const ready = seconds((round) => round.ready)
  const growth = spreadOf(rounds.map(({ settled, beforeReady }) => (settled / beforeReady - 1) * 100))
  const onReady = rounds.flatMap((round) => round.onReady)
  const whileLoading = rounds.flatMap((round) => round.whileLoading)
  const formatPercentiles = (values: readonly number[]): string =>
    `${percentile(values, 0.5).toFixed(0)} / ${percentile(values, 0.99).toFixed(0)}`
  const table = markdownTable(
    ['', 'Before', 'After', 'Target'],
    [
      ['Ready (s)', before, formatSpread(ready), String(TARGETS.ready)],
      ['All 69 modules loaded (s)', before, formatSpread(seconds(({ settled }) => settled)), ''],
      ['Increase (%)', '', formatSpread(growth, 0), String(TARGETS.growth)],
      ['Requests on readiness, p50 / p99 (ms)', '', formatPercentiles(onReady), String(TARGETS.onReady)],
      [
        `Requests every ${REQUEST_INTERVAL} ms while the rest loads, p50 / p99 (ms)`,
        '',
        formatPercentiles(whileLoading),
        '',
      ],
    ],
  )
  const p99OnReady = percentile(onReady, 0.99)
  return [
    table,
    `Targets for the medians: ready within ${TARGETS.ready} s (${ready.median.toFixed(2)}: ${metOrMissed(ready.median <= TARGETS.ready)}), loading time increased by at most ${TARGETS.growth} % ` +
      `(${growth.median.toFixed(0)}: ${metOrMissed(growth.median <= TARGETS.growth)}). Target for requests on readiness: p99 below ${TARGETS.onReady} ms ` +
      `(${p99OnReady.toFixed(0)}: ${metOrMissed(p99OnReady < TARGETS.onReady)}).`,
  ].join('\n\n')
}

function metOrMissed(isMet: boolean): string {
  return isMet ? 'met' : 'MISSED'
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}
