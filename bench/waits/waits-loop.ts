// Part of `bench -- waits`: node waits-loop.ts <alone|request|timer> <contender> <seconds>
// Prints the CPU time per wait in nanoseconds.
import { withDeadline } from '../../src/resilience/with-deadline.ts'
import { TIMERS, WAITS } from './contenders.ts'

const [mode = '', name = '', seconds] = process.argv.slice(2)
/** Waits per request; Punctual records them in its list of waits. */
const WAITS_OF_REQUEST = 10
/** Waits between two reads of the clock. */
const BATCH = 1_000

const batch = mode === 'timer' ? await timers() : await waits()

/** CPU time, because other processes may use the machine. */
function cpuNanoseconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1_000
}

async function measure(length: number): Promise<number> {
  const end = performance.now() + length * 1_000
  const from = cpuNanoseconds()
  let count = 0
  while (performance.now() < end) {
    await batch()
    count += BATCH
  }
  return (cpuNanoseconds() - from) / count
}

async function timers(): Promise<() => void> {
  const cycle = await create(TIMERS[name])
  return () => {
    for (let index = 0; index < BATCH; index++) cycle()
  }
}

async function waits(): Promise<() => Promise<void>> {
  const wait = await create(WAITS[name])
  const some = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index++) await wait()
  }
  if (mode === 'alone') return () => some(BATCH)
  return async () => {
    for (let index = 0; index < BATCH; index += WAITS_OF_REQUEST) {
      await withDeadline('work', '30s', () => some(WAITS_OF_REQUEST))
    }
  }
}

function create<Job>(contender: { readonly make: () => Job | Promise<Job> } | undefined): Job | Promise<Job> {
  if (contender === undefined) throw new Error(`unknown contender "${name}"`)
  return contender.make()
}

// Warms up the compiler.
await measure(0.5)
console.log(await measure(Number(seconds)))
process.exit()
