import { AsyncResource } from 'node:async_hooks'
import { monotonicNow, platform } from './clock.ts'

/** One pending call of a clock. */
export interface Alarm {
  cancel(): void
  /** Sets whether it keeps the process alive. */
  hold(holds: boolean): void
}

/**
 * What a timer wheel needs of a clock. The real one is `SYSTEM_CLOCK`; tests use a `ManualClock`.
 */
export interface WheelClock {
  /** Milliseconds of a monotonic clock. */
  now(): number
  /**
   * Calls `run` once after about `delay` milliseconds. It may run early, and does not keep the
   * process alive unless `hold` is called.
   */
  alarm(delay: number, run: () => void): Alarm
}

const MAX_TIMER = 2 ** 31 - 1

/**
 * A timer runs in the asynchronous context that created it. The timer of the wheel serves all
 * waits, so it is created in the context of this module: otherwise it would keep the request alive
 * that happened to set it, and run the timeouts of others in its context.
 */
const processContext = new AsyncResource('PunctualTimerWheel')

export const SYSTEM_CLOCK: WheelClock = {
  now: monotonicNow,
  alarm: (delay, run) => {
    const timer = processContext.runInAsyncScope(() =>
      platform.setTimeout(run, Math.min(Math.ceil(delay), MAX_TIMER)).unref(),
    )
    return {
      cancel: () => platform.clearTimeout(timer),
      hold: (holds) => {
        if (holds) timer.ref()
        else timer.unref()
      },
    }
  },
}

/** A slot is one bit of a 32-bit word, so that the next used slot is found by counting zeros. */
const SLOTS = 32
/**
 * Milliseconds that a slot of each level spans. The whole wheel spans 2^35 ms, more than a year.
 */
const SPANS = [1, 2 ** 5, 2 ** 10, 2 ** 15, 2 ** 20, 2 ** 25, 2 ** 30] as const
const HORIZON = 2 ** 35

/**
 * An entry of a wheel. It carries its own links, so that setting and cancelling it allocates
 * nothing.
 */
export abstract class WheelEntry {
  /**
   * Neighbours in its slot; null while it is not in the wheel. Only the wheel uses these fields.
   */
  wheelNext: WheelEntry | null = null
  wheelPrevious: WheelEntry | null = null
  /** When it is due, in milliseconds since the creation of the wheel. */
  wheelTick = 0
  wheelHolds = false

  /** Called once when it is due, after it is taken out of the wheel; it may be set again. */
  abstract expire(): void
}

/** The head of the circular list of a slot. */
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
 * Setting and cancelling are O(1); an entry moves to a finer level at most six times.
 *
 * An entry never runs early. It runs in the first millisecond that begins at or after its time,
 * plus the delay of Node's timer and of the event loop (1 to 4 ms when idle). After the loop was
 * blocked, everything that is due runs in the order of due times. No timer is set while the wheel
 * is empty; one that was set for a cancelled entry runs once without effect, and does not keep the
 * process alive.
 */
export class TimerWheel {
  readonly #clock: WheelClock
  readonly #origin: number
  readonly #slots: Slot[] = []
  /** One word for each level, one bit for each used slot. */
  readonly #occupied = new Int32Array(SPANS.length)
  #size = 0
  /** How many entries keep the process alive. */
  #holding = 0
  /** Everything that is due up to this millisecond has run. */
  #tick = 0
  /** No used slot begins before this millisecond. */
  #emptyUntil = Number.POSITIVE_INFINITY
  #alarm: Alarm | null = null
  /** The millisecond for which the alarm is set; infinite without one. */
  #armedFor = Number.POSITIVE_INFINITY
  readonly #wake: () => void = () => this.#run()

  /** @param clock default: the monotonic clock and the timers of Node */
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

  /** The clock of this wheel, in milliseconds. */
  now(): number {
    return this.#clock.now()
  }

  /**
   * Sets an entry, or moves it to another time. An entry without a due time (infinite) is not set.
   *
   * @param due milliseconds of the clock; a past time is due at once, but not before this call
   *   returns
   * @param holds whether it keeps the process alive until it runs or is cancelled
   * @param now the reading of the clock, if the caller has it
   */
  set(entry: WheelEntry, due: number, holds: boolean, now: number = this.#clock.now()): void {
    this.cancel(entry)
    if (due === Number.POSITIVE_INFINITY) return
    const present = Math.floor(now - this.#origin)
    if (this.#size === 0) this.#emptyUntil = Number.POSITIVE_INFINITY
    // If no slot has begun since, the wheel can be turned without looking into slots.
    if (present < this.#emptyUntil && present > this.#tick) this.#tick = present
    entry.wheelTick = Math.max(Math.ceil(due - this.#origin), this.#tick + 1)
    entry.wheelHolds = holds
    this.#size++
    if (holds && ++this.#holding === 1) this.#alarm?.hold(true)
    const wake = this.#place(entry)
    if (wake < this.#emptyUntil) this.#emptyUntil = wake
    // With a new reading: that of the caller may be from before some long synchronous work.
    if (wake < this.#armedFor) this.#arm(wake, this.#clock.now())
  }

  /** Takes an entry out; false if it was not set. */
  cancel(entry: WheelEntry): boolean {
    const next = entry.wheelNext
    const previous = entry.wheelPrevious
    if (next === null || previous === null) return false
    previous.wheelNext = next
    next.wheelPrevious = previous
    entry.wheelNext = null
    entry.wheelPrevious = null
    // Only the head of the list is left as both neighbours.
    if (next === previous) this.#occupied[(next as Slot).level] = this.#word((next as Slot).level) & ~(next as Slot).bit
    this.#size--
    if (entry.wheelHolds && --this.#holding === 0) this.#alarm?.hold(false)
    return true
  }

  /** Puts it into the slot of its time. Returns when that slot begins. */
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

  /** When the next used slot of any level begins; infinite if there is none. */
  #nextWake(): number {
    let next = Number.POSITIVE_INFINITY
    for (let level = 0; level < SPANS.length; level++) {
      const word = this.#word(level)
      if (word === 0) continue
      const span = SPANS[level] as number
      const current = Math.floor(this.#tick / span)
      // The slots after the current one, the nearest in bit 0. Entries in the current slot are a
      // whole round ahead.
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
      // Set before anything runs: if an entry throws, or is interrupted, the others run a
      // millisecond later.
      this.#arm(present + 1, now)
      this.#emptyUntil = Number.NEGATIVE_INFINITY
      this.#runSlot()
      for (let next = this.#nextWake(); next <= present; next = this.#nextWake()) {
        this.#tick = next
        this.#moveDown()
        this.#runSlot()
      }
      if (present > this.#tick) this.#tick = present
    }
    const next = this.#nextWake()
    this.#emptyUntil = next
    if (next === Number.POSITIVE_INFINITY) this.#disarm()
    else if (next !== this.#armedFor) this.#arm(next, this.#clock.now())
  }

  /** Moves the entries of slots that begin now to finer levels. */
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
      // An entry that sets itself again may be put into this slot, a whole round ahead.
      if (entry.wheelTick > tick) return
      this.cancel(entry)
      entry.expire()
    }
  }
}

/** The wheel of this process. */
export const waitWheel: TimerWheel = new TimerWheel()
