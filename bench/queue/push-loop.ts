// Part of `bench -- queue`: node push-loop.ts <contender> <seconds> <JSON of Places>
import { setImmediate as turn } from 'node:timers/promises'
import { CONTENDERS, type Job, type Places } from './contenders.ts'

/** Durations in microseconds, and pushes per second. */
export interface Pushes {
  readonly median: number
  readonly p99: number
  readonly rate: number
  /** CPU time of the thread per push while the rate is measured, without the servers. */
  readonly cpu: number
}

const MAX_SAMPLES = 2_000_000
/** Pushes between two turns of the event loop. */
const BURST = 100
/** Concurrent pushes to a contender that uses a network, while its rate is measured. */
const CONCURRENCY = 50

const [name = '', seconds = '1', places = ''] = process.argv.slice(2)
const length = Number(seconds) * 1_000
const contender = CONTENDERS[name]
if (contender === undefined) throw new Error(`unknown contender "${name}"`)
const job = await contender.make(JSON.parse(places) as Places)
const isPunctual = contender.module === null

// Warms up the compiler.
await timePushes(job, 500)
const samples = (await timePushes(job, length)).sort()
const from = process.threadCpuUsage()
const { rate, count } = isPunctual ? await rateOfBursts(job) : await rateOfMany(job)
const at = (share: number): number => (samples[Math.floor(samples.length * share)] ?? 0) * 1_000
const { user, system } = process.threadCpuUsage(from)
const pushes: Pushes = { median: at(0.5), p99: at(0.99), rate, cpu: (user + system) / count }
console.log(JSON.stringify(pushes))
await job.close()
process.exit()

/** Measures the duration of each push, in milliseconds. */
async function timePushes({ push, depth }: Job, duration: number): Promise<Float64Array> {
  const times = new Float64Array(MAX_SAMPLES)
  const end = performance.now() + duration
  let count = 0
  while (performance.now() < end && count < MAX_SAMPLES) {
    for (let index = 0; index < BURST && count < MAX_SAMPLES; index++) {
      const startedAt = performance.now()
      const answer = push()
      if (answer !== undefined) await answer
      times[count++] = performance.now() - startedAt
      if (answer !== undefined && performance.now() > end) break
    }
    // Like an app with other work: the pushed items are handled in the meantime.
    do await turn()
    while (depth() > 10_000)
  }
  return times.subarray(0, count)
}

interface Rate {
  readonly rate: number
  readonly count: number
}

/** Pushes in bursts, with a turn of the event loop after each, and awaits nothing. */
async function rateOfBursts({ push }: Job): Promise<Rate> {
  const from = performance.now()
  let count = 0
  while (performance.now() - from < length) {
    for (let index = 0; index < BURST; index++) push()
    count += BURST
    await turn()
  }
  return { count, rate: (count / (performance.now() - from)) * 1_000 }
}

async function rateOfMany({ push }: Job): Promise<Rate> {
  const from = performance.now()
  let count = 0
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      while (performance.now() - from < length) {
        await push()
        count++
      }
    }),
  )
  return { count, rate: (count / (performance.now() - from)) * 1_000 }
}
