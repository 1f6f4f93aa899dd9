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
/** Targets, in microseconds and items per second. */
const MAX_MEDIAN = 3
const MAX_P99 = 10
const MIN_RATE = 300_000
const MIN_DELIVERED = 20_000
/** Most CPU time that the queue may use in one turn of the event loop, in milliseconds. */
const MAX_OWN_CPU = 20
/** Events to deliver. */
const EVENTS = 200_000
const EVENTS_LONG = 1_000_000

const execute = promisify(execFile)

/** Compares a push with job queues and an INSERT, then measures the loop delay of delivery. */
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
      figure('pushes/s (higher is better)', ({ rate }) => rate),
      figure('CPU per push (µs)', ({ cpu }) => cpu),
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
    const items = long ? EVENTS_LONG : EVENTS
    const drained: Drained[] = []
    for (let round = 0; round < (long ? 1 : 3); round++) {
      drained.push(await run<Drained>('drain-loop.ts', [String(items), places.postgres], 600_000))
    }
    const versions = names.flatMap((name) => CONTENDERS[name]?.module ?? []).map((name) => `${name} ${versionOf(name)}`)
    const text = [
      `${cpu}, ${cores} cores, ${kernel}, Node ${node}, ${versions.join(', ')}; PostgreSQL (durable) and Redis (in memory only) on the same machine; ${rounds} rounds of ${seconds} s.`,
      '### Pushing an event of 200 bytes',
      'Median and p99 are the duration of one call in sequence, in microseconds; each figure is the median of the rounds (minimum–maximum). The rate is measured in bursts of 100 with a turn of the event loop between them for `durableQueue`, and with 50 concurrent calls for the others. CPU is the CPU time of the thread per call while the rate is measured, without the time of the servers.',
      pushTable(pushes),
      pushTargets(pushes.get('defer') ?? []),
      `### Delivering ${items.toLocaleString('en')} events to PostgreSQL`,
      formatDrained(items, drained),
    ].join('\n\n')
    console.log(`${text}\n`)
    if (rounds < ROUNDS_TO_RECORD || missing !== null) {
      console.log(missing ?? `not saved: at least ${ROUNDS_TO_RECORD} rounds are required`)
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
    // The order rotates because the machine may warm up or slow down.
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
  return markdownTable(['Call', 'Median (µs)', 'p99 (µs)', 'Calls/s', 'CPU (µs)'], rows)
}

function pushTargets(pushes: readonly Pushes[]): string {
  const median = spreadOf(pushes.map((each) => each.median)).median
  const p99 = spreadOf(pushes.map((each) => each.p99)).median
  const rate = spreadOf(pushes.map((each) => each.rate)).median
  return (
    `Targets for \`durableQueue\`: median at most ${MAX_MEDIAN} µs (${median.toFixed(1)}: ${metOrMissed(median <= MAX_MEDIAN)}), p99 at most ${MAX_P99} µs ` +
    `(${p99.toFixed(1)}: ${metOrMissed(p99 <= MAX_P99)}), at least ${MIN_RATE.toLocaleString('en')} calls per second (${Math.round(rate).toLocaleString('en')}: ${metOrMissed(rate >= MIN_RATE)}).`
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
    markdownTable(['Run', 'Events/s', 'Loop delay p99 (ms)', 'Loop delay max (ms)', 'Own CPU time max (ms)'], rows),
    '',
    'The loop delay is how late a timer of 1 ms fires. The own CPU time is the most CPU time that the thread uses between two timers. In the rest of a delay, PostgreSQL or another process has the processor, or the thread waits for the disk.',
    '',
    `Targets: at least ${MIN_DELIVERED.toLocaleString('en')} events per second (${Math.round(rate).toLocaleString('en')}: ${metOrMissed(rate >= MIN_DELIVERED)}), own CPU time at most ${MAX_OWN_CPU} ms ` +
      `(${own.toFixed(1)}: ${metOrMissed(own <= MAX_OWN_CPU)}), every event exactly once in the table (${metOrMissed(whole)}).`,
  ].join('\n')
}

function metOrMissed(isMet: boolean): string {
  return isMet ? 'met' : 'MISSED'
}
