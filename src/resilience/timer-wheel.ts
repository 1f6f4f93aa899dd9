import { AsyncResource } from 'node:async_hooks'
import { monotonicNow } from './clock.ts'

/** One pending call of a clock. */
export interface Alarm {
  cancel(): void
  /** Whether it keeps the process alive. */
  hold(holds: boolean): void
}

/** What a timer wheel needs of time. The real one is `SYSTEM_CLOCK`; a test gives its own. */
export interface WheelClock {
  /** Milliseconds of a monotonic clock. */
  now(): number
  /**
   * Calls `run` once, about `delay` milliseconds from now; it may be early, and the process may end
   * before.
   */
  alarm(delay: number, run: () => void): Alarm
}

const LONGEST_TIMER = 2 ** 31 - 1

/**
 * A timer belongs to the asynchronous context that made it. The wheel's serves everybody, so it is
 * made in the context this file was loaded in: else it would keep the request alive that happened
 * to arm it, and run the expiries of others in its name.
 */
const nobody = new AsyncResource('PunctualTimerWheel')

export const SYSTEM_CLOCK: WheelClock = {
  now: monotonicNow,
  alarm: (delay, run) => {
    const timer = nobody.runInAsyncScope(() => setTimeout(run, Math.min(Math.ceil(delay), LONGEST_TIMER)).unref())
    return {
      cancel: () => clearTimeout(timer),
      hold: (holds) => {
        if (holds) timer.ref()
        else timer.unref()
      },
    }
  },
}

/** A slot is one bit of a 32-bit word, so that the next occupied one is found by counting zeros. */
const SLOTS = 32
/**
 * Milliseconds that a slot of each level spans. The whole wheel spans 2^35 ms, more than a year.
 */
const SPANS = [1, 2 ** 5, 2 ** 10, 2 ** 15, 2 ** 20, 2 ** 25, 2 ** 30] as const
const HORIZON = 2 ** 35

/**
 * What can be put into a wheel: it carries its own links, so that neither setting nor cancelling it
 * allocates anything.
 */
export abstract class WheelEntry {
  /**
   * Neighbours in its slot; null while it is in none. The wheel's own business, like the two below.
   */
  wheelNext: WheelEntry | null = null
  wheelPrevious: WheelEntry | null = null
  /** The millisecond since the wheel's beginning in which it falls due. */
  wheelTick = 0
  wheelHolds = false

  /** Called once when it is due; it is out of the wheel by then and may be put in again. */
  abstract expire(): void
}

/** The head of a slot's circular list. */
class Slot extends WheelEntry {
  readonly level: number
  readonly bit: number

  constructor(level: number, bit: number) {
    super()
    this.level = level
    this.bit = bit
    this.wheelNext = this
    this.wheelPrevious = this
  }

  override expire(): void {}
}

/**
 * One timer for any number of waits: a hierarchical timing wheel after G. Varghese and T. Lauck,
 * "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme 7, with seven levels of 32 slots.
 * Setting and cancelling are O(1); an entry that is left alone is moved down at most six times.
 *
 * An entry never runs early. It runs in the first millisecond that begins at or after its time,
 * plus what Node's timer and a busy event loop add (1 to 4 ms when idle). After a loop that was
 * blocked everything due runs at once, in order of due time to the millisecond. While the wheel is
 * empty no timer is armed anew; one that was armed for a cancelled entry lapses, and does not keep
 * the process alive.
 */
export class TimerWheel {
  readonly #clock: WheelClock
  readonly #origin: number
  readonly #slots: Slot[] = []
  /** One word for each level, one bit for each slot that holds anything. */
  readonly #occupied = new Int32Array(SPANS.length)
  #size = 0
  /** How many entries keep the process alive. */
  #holding = 0
  /** Everything due up to this millisecond has run. */
  #tick = 0
  /** No occupied slot begins before this millisecond. */
  #quietUntil = Number.POSITIVE_INFINITY
  #alarm: Alarm | null = null
  /** The millisecond the alarm is set for; infinite without one. */
  #armedFor = Number.POSITIVE_INFINITY
  readonly #wake: () => void = () => this.#run()

  /** @param clock default: the machine's monotonic clock and Node's timers */
  constructor(clock: WheelClock = SYSTEM_CLOCK) {
    this.#clock = clock
    this.#origin = clock.now()
    for (let level = 0; level < SPANS.length; level++) {
      for (let index = 0; index < SLOTS; index++) this.#slots.push(new Slot(level, 1 << index))
    }
  }

  /** How many entries are set. */
  get size(): number {
    return this.#size
  }

  /** Milliseconds of the clock that this wheel goes by. */
  now(): number {
    return this.#clock.now()
  }

  /**
   * Sets an entry, or sets it anew. One without a due time (infinite) is not set.
   *
   * @param due when it falls due, in milliseconds of the clock; a time that has passed is due at
   *   once, but not before the caller returns
   * @param holds whether it keeps the process alive until it runs or is cancelled
   * @param now what the clock shows, for callers that have just read it
   */
  set(entry: WheelEntry, due: number, holds: boolean, now: number = this.#clock.now()): void {
    this.cancel(entry)
    if (due === Number.POSITIVE_INFINITY) return
    const present = Math.floor(now - this.#origin)
    if (this.#size === 0) this.#quietUntil = Number.POSITIVE_INFINITY
    // Where no slot has begun meanwhile, the wheel may be turned on without looking into any.
    if (present < this.#quietUntil && present > this.#tick) this.#tick = present
    entry.wheelTick = Math.max(Math.ceil(due - this.#origin), this.#tick + 1)
    entry.wheelHolds = holds
    this.#size++
    if (holds && ++this.#holding === 1) this.#alarm?.hold(true)
    const wake = this.#place(entry)
    if (wake < this.#quietUntil) this.#quietUntil = wake
    // By the clock as it is: what the caller has read may be from before some long synchronous
    // work.
    if (wake < this.#armedFor) this.#arm(wake, this.#clock.now())
  }

  /** Takes an entry out; false if it was not in. */
  cancel(entry: WheelEntry): boolean {
    const next = entry.wheelNext
    const previous = entry.wheelPrevious
    if (next === null || previous === null) return false
    previous.wheelNext = next
    next.wheelPrevious = previous
    entry.wheelNext = null
    entry.wheelPrevious = null
    // Only the head of the list is left to be both neighbours.
    if (next === previous) this.#occupied[(next as Slot).level] = this.#word((next as Slot).level) & ~(next as Slot).bit
    this.#size--
    if (entry.wheelHolds && --this.#holding === 0) this.#alarm?.hold(false)
    return true
  }

  /** Puts it into the slot for its time, and says when that slot begins. */
  #place(entry: WheelEntry): number {
    const tick = Math.min(entry.wheelTick, this.#tick + HORIZON - 1)
    const ahead = tick - this.#tick
    let level = 0
    let span = 1
    while (ahead >= span * SLOTS) {
      level++
      span *= SLOTS
    }
    const index = Math.floor(tick / span)
    const slot = this.#slots[level * SLOTS + (index % SLOTS)] as Slot
    const last = slot.wheelPrevious as WheelEntry
    entry.wheelPrevious = last
    entry.wheelNext = slot
    last.wheelNext = entry
    slot.wheelPrevious = entry
    this.#occupied[level] = this.#word(level) | slot.bit
    return index * span
  }

  #word(level: number): number {
    return this.#occupied[level] as number
  }

  /** When the next occupied slot of any level begins; infinite if there is none. */
  #nextWake(): number {
    let next = Number.POSITIVE_INFINITY
    for (let level = 0; level < SPANS.length; level++) {
      const word = this.#word(level)
      if (word === 0) continue
      const span = SPANS[level] as number
      const current = Math.floor(this.#tick / span)
      // The slots that follow the current one, the nearest in bit 0. What is in the current one is
      // a whole round ahead.
      const shift = ((current % SLOTS) + 1) % SLOTS
      const following = (word >>> shift) | (shift === 0 ? 0 : word << (SLOTS - shift))
      const distance = 32 - Math.clz32(following & -following)
      next = Math.min(next, (current + distance) * span)
    }
    return next
  }

  #arm(tick: number, now: number): void {
    this.#alarm?.cancel()
    this.#armedFor = tick
    this.#alarm = this.#clock.alarm(Math.max(0, this.#origin + tick - now), this.#wake)
    if (this.#holding > 0) this.#alarm.hold(true)
  }

  #disarm(): void {
    this.#alarm?.cancel()
    this.#alarm = null
    this.#armedFor = Number.POSITIVE_INFINITY
  }

  #run(): void {
    const now = this.#clock.now()
    const present = Math.floor(now - this.#origin)
    if (this.#size > 0) {
      // Before anything runs: an entry that throws, or is cut while it spins, leaves the others to
      // the next millisecond.
      this.#arm(present + 1, now)
      this.#quietUntil = Number.NEGATIVE_INFINITY
      this.#runSlot()
      for (let next = this.#nextWake(); next <= present; next = this.#nextWake()) {
        this.#tick = next
        this.#moveDown()
        this.#runSlot()
      }
      if (present > this.#tick) this.#tick = present
    }
    const next = this.#nextWake()
    this.#quietUntil = next
    if (next === Number.POSITIVE_INFINITY) this.#disarm()
    else if (next !== this.#armedFor) this.#arm(next, this.#clock.now())
  }

  /** Entries of the slots that begin now, on all levels but the lowest, go into finer ones. */
  #moveDown(): void {
    for (let level = SPANS.length - 1; level > 0; level--) {
      const span = SPANS[level] as number
      if (this.#tick % span !== 0) continue
      const slot = this.#slots[level * SLOTS + ((this.#tick / span) % SLOTS)] as Slot
      let entry = slot.wheelNext as WheelEntry
      slot.wheelNext = slot
      slot.wheelPrevious = slot
      this.#occupied[level] = this.#word(level) & ~slot.bit
      while (entry !== slot) {
        const following = entry.wheelNext as WheelEntry
        this.#place(entry)
        entry = following
      }
    }
  }

  #runSlot(): void {
    const tick = this.#tick
    const slot = this.#slots[tick % SLOTS] as Slot
    for (let entry = slot.wheelNext; entry !== null && entry !== slot; entry = slot.wheelNext) {
      // An entry that sets itself anew may land in this very slot, a whole round ahead.
      if (entry.wheelTick > tick) return
      this.cancel(entry)
      entry.expire()
    }
  }
}

/** The wheel of this process. */
export const waitWheel: TimerWheel = new TimerWheel()
