import { TimerWheel, WheelEntry } from '../../src/resilience/timer-wheel.ts'
import { withTimeout } from '../../src/resilience/with-timeout.ts'

interface Contender<Job> {
  readonly title: string
  /** Creates the function to measure, in the process that measures it. */
  readonly make: () => Job | Promise<Job>
}

/**
 * Each awaits the same work, which completes immediately, with a timeout of five seconds. The keys
 * are stable: `--compare` passes them to an older checkout.
 */
export const WAITS: Readonly<Record<string, Contender<() => Promise<unknown>>>> = {
  within: { title: '`withTimeout`', make: () => () => withTimeout('bench', '5s', work) },
  race: { title: '`Promise.race` and `setTimeout`', make: () => raced },
  cooperative: { title: 'cockatiel, cooperative', make: () => policy('Cooperative') },
  aggressive: { title: 'cockatiel, aggressive', make: () => policy('Aggressive') },
  bare: { title: 'no timeout', make: () => work },
}

/** Each sets a timer of five seconds and cancels it, like a wait that completes. */
export const TIMERS: Readonly<Record<string, Contender<() => void>>> = {
  wheel: { title: '`TimerWheel`', make: wheelCycle },
  timeout: {
    title: '`setTimeout` and `clearTimeout`',
    make: () => () => clearTimeout(setTimeout(nothing, 5_000)),
  },
}

async function work(): Promise<number> {
  return 1
}

function nothing(): void {}

async function raced(): Promise<number> {
  let timer: NodeJS.Timeout | undefined
  const expiry = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('timed-out')), 5_000)
  })
  try {
    return await Promise.race([work(), expiry])
  } finally {
    clearTimeout(timer)
  }
}

type Strategy = 'Cooperative' | 'Aggressive'

/** The part that is used. Only the benches install the package, so it has no types here. */
interface Cockatiel {
  readonly TimeoutStrategy: Readonly<Record<Strategy, string>>
  timeout(duration: number, strategy: string): { execute(job: () => Promise<number>): Promise<number> }
}

async function policy(strategy: Strategy): Promise<() => Promise<unknown>> {
  const name: string = 'cockatiel'
  const { timeout, TimeoutStrategy } = (await import(name)) as Cockatiel
  const bounded = timeout(5_000, TimeoutStrategy[strategy])
  return () => bounded.execute(work)
}

class Entry extends WheelEntry {
  override expire(): void {}
}

function wheelCycle(): () => void {
  const wheel = new TimerWheel()
  const entry = new Entry()
  return () => {
    wheel.set(entry, wheel.now() + 5_000, true)
    wheel.cancel(entry)
  }
}
