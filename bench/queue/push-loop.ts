// Part of `bench -- queue`: node push-loop.ts <contender> <seconds> <JSON of Places>
import { setImmediate as turn } from 'node:timers/promises'
import { CONTENDERS, type Job, type Places } from './contenders.ts'

/** Microseconds, and pushes a second. */
export interface Pushes {
  readonly median: number
  readonly p99: number
  readonly rate: number
  /** CPU of the thread for each push, while the rate was measured, without the servers. */
  readonly cpu: number
}

const MOST_SAMPLES = 2_000_000
/** Pushes between two turns of the event loop. */
const BURST = 100
/** Those who answer over a network are given so many at a time when their rate is measured. */
const AT_ONCE = 50

const [name = '', seconds = '1', places = ''] = process.argv.slice(2)
const length = Number(seconds) * 1_000
const contender = CONTENDERS[name]
if (contender === undefined) throw new Error(`no contender "${name}"`)
const job = await contender.make(JSON.parse(places) as Places)
const isOurs = contender.module === null

// The first stretch is for the compiler.
await time(job, 500)
const samples = (await time(job, length)).sort()
const from = process.threadCpuUsage()
const { rate, count } = isOurs ? await rateOfBursts(job) : await rateOfMany(job)
const at = (share: number): number => (samples[Math.floor(samples.length * share)] ?? 0) * 1_000
const { user, system } = process.threadCpuUsage(from)
const pushes: Pushes = { median: at(0.5), p99: at(0.99), rate, cpu: (user + system) / count }
console.log(JSON.stringify(pushes))
await job.close()
process.exit()

/** Each push by itself, in milliseconds. */
async function time({ push, depth }: Job, duration: number): Promise<Float64Array> {
  const times = new Float64Array(MOST_SAMPLES)
  const end = performance.now() + duration
  let count = 0
  while (performance.now() < end && count < MOST_SAMPLES) {
    for (let index = 0; index < BURST && count < MOST_SAMPLES; index++) {
      const begun = performance.now()
      const answer = push()
      if (answer !== undefined) await answer
      times[count++] = performance.now() - begun
      if (answer !== undefined && performance.now() > end) break
    }
    // As an app does that has other things to do: what was pushed is handled meanwhile.
    do await turn()
    while (depth() > 10_000)
  }
  return times.subarray(0, count)
}

interface Rate {
  readonly rate: number
  readonly count: number
}

/** One after the other, with a turn of the loop now and then, and nothing waited for. */
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
    Array.from({ length: AT_ONCE }, async () => {
      while (performance.now() - from < length) {
        await push()
        count++
      }
    }),
  )
  return { count, rate: (count / (performance.now() - from)) * 1_000 }
}
