import { setTimeout as sleep } from 'node:timers/promises'
import { SLOW_ROUTES } from '../../test/reference-app/campaigns/generate-routes.ts'
import type { BenchOptions } from '../bench.ts'
import { markdownTable, writeFigures } from '../figures.ts'
import { describeMachine } from '../http/machine.ts'
import { formatSpread, type Spread, spreadOf } from '../ratio.ts'
import { BootedApp } from './booted-app.ts'

const ASKED_FIRST = ['/api/me', '/api/brands', '/api/campaigns']
/** Rounds from which on the figures are worth keeping. */
const ROUNDS_TO_RECORD = 5
/** While the rest loads the dashboard is asked for this often, in milliseconds. */
const ASK_EVERY = 200
const BOOT_LIMIT = '5s'
/** Until it counts as not killed at it, in milliseconds. */
const GIVE_UP_LIMIT = 60_000
/** In seconds, percent and milliseconds. */
const BARS = { ready: 1.5, growth: 20, atOnce: 100 }

interface Round {
  readonly beforeReady: number
  readonly ready: number
  readonly settled: number
  /** Of the requests sent in the moment of readiness. */
  readonly atOnce: readonly number[]
  /** Of those sent later, until all was loaded. */
  readonly meanwhile: readonly number[]
}

/** The fourth incident: the campaign dashboard with its 69 modules, before and after. */
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
    `${cpu}, ${cores} cores, ${kernel}, Node ${node}; one worker; ${SLOW_ROUTES.length} slow modules of ${sum} ms in all beside the seven critical ones; ${rounds} rounds.`,
    tell(measured),
    `Before, with \`--boot-timeout ${BOOT_LIMIT}\`: ${killed}.`,
  ].join('\n\n')
  console.log(`${text}\n`)
  if (rounds < ROUNDS_TO_RECORD) {
    console.log(`not written down: that takes ${ROUNDS_TO_RECORD} rounds`)
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
    const atOnce = await Promise.all(ASKED_FIRST.map((path) => after.request(path)))
    const meanwhile: number[] = []
    const over = new AbortController()
    const asking = (async () => {
      for (let turn = 0; !over.signal.aborted; turn++) {
        await sleep(ASK_EVERY)
        meanwhile.push(await after.request(ASKED_FIRST[turn % ASKED_FIRST.length] as string))
      }
    })()
    // Whoever asks and whoever waits end together, and the first error is the one that is told.
    const [settledAfter] = await Promise.all([after.settled().finally(() => over.abort()), asking])
    return { beforeReady, ready, settled: ready + settledAfter, atOnce, meanwhile }
  } finally {
    await after.stop()
  }
}

async function killedAtTimeout(): Promise<string> {
  const app = await BootedApp.start('before', ['--boot-timeout', BOOT_LIMIT, '--log-format', 'text'])
  try {
    const code = await app.exit(GIVE_UP_LIMIT)
    const why = /boot: ?(.*)|(not ready within the boot limit[^\n]*)/.exec(app.output)?.[0] ?? 'no reason given'
    return `exit code ${code}, "${why.trim()}"`
  } finally {
    await app.stop()
  }
}

function tell(rounds: readonly Round[]): string {
  const seconds = (figure: (round: Round) => number): Spread => spreadOf(rounds.map((round) => figure(round) / 1_000))
  const before = formatSpread(seconds(({ beforeReady }) => beforeReady))
  const ready = seconds((round) => round.ready)
  const growth = spreadOf(rounds.map(({ settled, beforeReady }) => (settled / beforeReady - 1) * 100))
  const atOnce = rounds.flatMap((round) => round.atOnce)
  const meanwhile = rounds.flatMap((round) => round.meanwhile)
  const formatPercentiles = (values: readonly number[]): string =>
    `${percentile(values, 0.5).toFixed(0)} / ${percentile(values, 0.99).toFixed(0)}`
  const table = markdownTable(
    ['', 'Before', 'After', 'Bar'],
    [
      ['Ready (s)', before, formatSpread(ready), String(BARS.ready)],
      ['All 69 modules loaded (s)', before, formatSpread(seconds(({ settled }) => settled)), ''],
      ['Growth of that (%)', '', formatSpread(growth, 0), String(BARS.growth)],
      ['Asked at once, p50 / p99 (ms)', '', formatPercentiles(atOnce), String(BARS.atOnce)],
      [`Asked every ${ASK_EVERY} ms while the rest loads, p50 / p99 (ms)`, '', formatPercentiles(meanwhile), ''],
    ],
  )
  const worstAtOnce = percentile(atOnce, 0.99)
  return [
    table,
    `Bars, of medians: ready in at most ${BARS.ready} s (${ready.median.toFixed(2)}: ${verdict(ready.median <= BARS.ready)}), loading grown by at most ${BARS.growth} % ` +
      `(${growth.median.toFixed(0)}: ${verdict(growth.median <= BARS.growth)}); and asked at once an answer in under ${BARS.atOnce} ms at p99 ` +
      `(${worstAtOnce.toFixed(0)}: ${verdict(worstAtOnce < BARS.atOnce)}).`,
  ].join('\n\n')
}

function verdict(isMet: boolean): string {
  return isMet ? 'met' : 'MISSED'
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}
