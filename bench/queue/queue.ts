import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { redisMissing, startRedis } from '../../test/process/support/redis.ts'
import { startGuard } from '../../test/reference-app/guardian/guard.ts'
import type { BenchOptions } from '../bench.ts'
import { compareFigures } from '../compare.ts'
import { markdownTable, writeFigures } from '../figures.ts'
import { describeMachine } from '../http/machine.ts'
import { installContenders, versionOf } from '../install.ts'
import { formatSpread, spreadOf } from '../ratio.ts'
import { CONTENDERS, type Places } from './contenders.ts'
import type { Drained } from './drain-loop.ts'
import type { Pushes } from './push-loop.ts'

const ROUNDS_TO_RECORD = 5
/** Bars: microseconds, and items a second. */
const MOST_MEDIAN = 3
const MOST_P99 = 10
const LEAST_RATE = 300_000
const LEAST_DRAINED = 20_000
/** Milliseconds that the loop may be held up. */
const MOST_DELAY = 20
/** Of the last part. */
const DRAIN = 200_000
const DRAIN_LONG = 1_000_000

const execute = promisify(execFile)

/** Measures a push beside three job queues and an insert, then the loop delay while draining. */
export async function benchQueue({ rounds, seconds, long, compare }: BenchOptions): Promise<void> {
  if (compare !== undefined) {
    const figure = (title: string, of: (pushes: Pushes) => number) => ({
      title,
      scripts: ['bench/queue/push-loop.ts', 'bench/defer/push-loop.ts'],
      args: ['defer', String(seconds), JSON.stringify({ postgres: '', redis: '' })],
      read: (output: string) => of(JSON.parse(output) as Pushes),
    })
    const figures = [
      figure('push, median (µs)', ({ median }) => median),
      figure('push, p99 (µs)', ({ p99 }) => p99),
      figure('pushes a second (higher is better)', ({ rate }) => rate),
    ]
    compareFigures(compare, figures, rounds)
    return
  }
  installContenders()
  const missing = redisMissing()
  const { cpu, cores, kernel, node } = describeMachine()
  const directory = mkdtempSync(join(tmpdir(), 'punctual-bench-postgres-'))
  const guard = await startGuard()
  const redis = missing === null ? await startRedis() : null
  try {
    const places: Places = { postgres: await guard.openPostgres(directory), redis: redis?.url ?? '' }
    const names = Object.keys(CONTENDERS).filter((name) => redis !== null || name !== 'bullmq')
    const pushes = await measurePushes(names, rounds, seconds, places)
    const items = long ? DRAIN_LONG : DRAIN
    const drained: Drained[] = []
    for (let round = 0; round < (long ? 1 : 3); round++) {
      drained.push(await run<Drained>('drain-loop.ts', [String(items), places.postgres], 600_000))
    }
    const versions = names.flatMap((name) => CONTENDERS[name]?.module ?? []).map((name) => `${name} ${versionOf(name)}`)
    const text = [
      `${cpu}, ${cores} cores, ${kernel}, Node ${node}, ${versions.join(', ')}; PostgreSQL and Redis beside them, the one durable, the other in memory alone; ${rounds} rounds of ${seconds} s.`,
      '### Handing over an event of 200 bytes',
      'Median and p99 of a call: one after the other, in microseconds, median of the rounds (least–most). The rate: for `durableQueue` in bursts of 100 with a turn of the event loop between them; for the others 50 at a time. CPU is that of the thread for each, while the rate is measured, without what the servers take.',
      pushTable(pushes),
      pushBars(pushes.get('defer') ?? []),
      `### ${items.toLocaleString('en')} events on their way into PostgreSQL`,
      formatDrained(items, drained),
    ].join('\n\n')
    console.log(`${text}\n`)
    if (rounds < ROUNDS_TO_RECORD || missing !== null) {
      console.log(missing ?? `not written down: that takes at least ${ROUNDS_TO_RECORD} rounds`)
      return
    }
    writeFigures('queue', text)
    console.log('written to docs/benchmarks.md')
  } finally {
    await redis?.stop()
    await guard.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}

type Samples = ReadonlyMap<string, readonly Pushes[]>

async function measurePushes(
  names: readonly string[],
  rounds: number,
  seconds: number,
  places: Places,
): Promise<Samples> {
  const samples = new Map<string, Pushes[]>(names.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    // Who goes first changes, as the machine may warm up or slow down meanwhile.
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(turn + round) % names.length] as string
      const args = [name, String(seconds), JSON.stringify(places)]
      samples.get(name)?.push(await run<Pushes>('push-loop.ts', args, (seconds * 4 + 60) * 1_000))
    }
  }
  return samples
}

async function run<Result>(script: string, args: readonly string[], timeout: number): Promise<Result> {
  const { stdout } = await execute(process.execPath, [join(import.meta.dirname, script), ...args], {
    timeout,
    killSignal: 'SIGKILL',
  })
  return JSON.parse(stdout) as Result
}

function pushTable(samples: Samples): string {
  const rows = [...samples].map(([name, pushes]) => {
    const figure = (of: (each: Pushes) => number, digits: number): string =>
      formatSpread(spreadOf(pushes.map(of)), digits)
    return [
      CONTENDERS[name]?.title ?? name,
      figure(({ median }) => median, 1),
      figure(({ p99 }) => p99, 1),
      figure(({ rate }) => rate, 0),
      figure(({ cpu }) => cpu, 1),
    ]
  })
  return markdownTable(['Handing over', 'Median (µs)', 'p99 (µs)', 'A second', 'CPU (µs)'], rows)
}

function pushBars(pushes: readonly Pushes[]): string {
  const median = spreadOf(pushes.map((each) => each.median)).median
  const p99 = spreadOf(pushes.map((each) => each.p99)).median
  const rate = spreadOf(pushes.map((each) => each.rate)).median
  return (
    `Bars for \`durableQueue\`: at most ${MOST_MEDIAN} µs at the median (${median.toFixed(1)}: ${verdict(median <= MOST_MEDIAN)}) and ${MOST_P99} µs at p99 ` +
    `(${p99.toFixed(1)}: ${verdict(p99 <= MOST_P99)}), at least ${LEAST_RATE.toLocaleString('en')} a second (${Math.round(rate).toLocaleString('en')}: ${verdict(rate >= LEAST_RATE)}).`
  )
}

function formatDrained(items: number, drained: readonly Drained[]): string {
  const rows = drained.map(({ rate, delay, own }, round) => [
    String(round + 1),
    Math.round(rate).toLocaleString('en'),
    delay.p99.toFixed(1),
    delay.worst.toFixed(1),
    own.toFixed(1),
  ])
  const rate = Math.min(...drained.map((each) => each.rate))
  const own = Math.max(...drained.map((each) => each.own))
  const whole = drained.every(({ rows: stored, ids }) => stored === items && ids === items)
  return [
    markdownTable(['Run', 'A second', 'Loop delay p99 (ms)', 'worst (ms)', 'worst of its own (ms of CPU)'], rows),
    '',
    'A delay is how late a timer of 1 ms was; of its own is the most CPU time that the thread itself took between two of them. The rest of a delay is PostgreSQL and others taking the processor, or this thread waiting for the disk.',
    '',
    `Bars: at least ${LEAST_DRAINED.toLocaleString('en')} a second (${Math.round(rate).toLocaleString('en')}: ${verdict(rate >= LEAST_DRAINED)}), no delay above ${MOST_DELAY} ms of CPU by the queue ` +
      `(${own.toFixed(1)}: ${verdict(own <= MOST_DELAY)}), every event once in its table (${verdict(whole)}).`,
  ].join('\n')
}

function verdict(isMet: boolean): string {
  return isMet ? 'met' : 'MISSED'
}
