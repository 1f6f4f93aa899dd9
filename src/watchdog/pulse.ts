/** How often the main thread beats and the watchdog looks, in milliseconds. */
export const BEAT_INTERVAL = 50
export const LOOK_INTERVAL = 25

/**
 * What the main thread and its watchdog tell each other through shared memory: the heartbeat, and everything the watchdog must
 * know while the main thread cannot be asked. Each field has one writer.
 */

// Floats (8 bytes each)
const LAST_BEAT = 0
const LAG = 1
const HEAP_USED = 2
const HEAP_LIMIT = 3
const LONG_TURN_UNTIL = 4
const FLOATS = 8

// Integers (4 bytes each), behind the floats
const BOOTING = 0
const TAINTED = 1
const HOOKS = 2
const INSPECTOR_PORT = 3
const CUT_SEQUENCE = 4
const NAME_LENGTH = 5
const INTEGERS = 8

const NAME_ROOM = 128

export class Pulse {
  readonly memory: SharedArrayBuffer
  readonly #floats: Float64Array
  readonly #integers: Int32Array
  readonly #name: Buffer

  /** Without an argument: a new one. With the memory of one: a view of it, for the other thread. */
  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(FLOATS * 8 + INTEGERS * 4 + NAME_ROOM)) {
    this.memory = memory
    this.#floats = new Float64Array(memory, 0, FLOATS)
    this.#integers = new Int32Array(memory, FLOATS * 8, INTEGERS)
    this.#name = Buffer.from(memory, FLOATS * 8 + INTEGERS * 4)
  }

  /** Monotonic milliseconds at which the main loop last turned; 0 before it has turned at all. */
  get lastBeat(): number {
    return this.#floats[LAST_BEAT] as number
  }

  set lastBeat(now: number) {
    this.#floats[LAST_BEAT] = now
  }

  /** The largest lag since it was last taken, in milliseconds. */
  raiseLag(lag: number): void {
    if (lag > (this.#floats[LAG] as number)) this.#floats[LAG] = lag
  }

  takeLag(): number {
    const lag = this.#floats[LAG] as number
    this.#floats[LAG] = 0
    return lag
  }

  get heapUsed(): number {
    return this.#floats[HEAP_USED] as number
  }

  get heapLimit(): number {
    return this.#floats[HEAP_LIMIT] as number
  }

  setHeap(used: number, limit: number): void {
    this.#floats[HEAP_USED] = used
    this.#floats[HEAP_LIMIT] = limit
  }

  /** True until the worker is ready: stalls are told, nothing is cut. */
  get booting(): boolean {
    return this.#integers[BOOTING] === 1
  }

  set booting(value: boolean) {
    this.#integers[BOOTING] = value ? 1 : 0
  }

  /** True once something has been cut in this process. */
  get tainted(): boolean {
    return this.#integers[TAINTED] === 1
  }

  set tainted(value: boolean) {
    this.#integers[TAINTED] = value ? 1 : 0
  }

  /** How many hooks of `async_hooks.createHook` are enabled: with one, a cut may abort the process. */
  get asyncHooks(): number {
    return Atomics.load(this.#integers, HOOKS)
  }

  addAsyncHooks(by: number): void {
    Atomics.add(this.#integers, HOOKS, by)
  }

  /** The port of the main thread's inspector; 0 when it is not open. */
  get inspectorPort(): number {
    return this.#integers[INSPECTOR_PORT] as number
  }

  set inspectorPort(port: number) {
    this.#integers[INSPECTOR_PORT] = port
  }

  /** Set by the watchdog with a cut: the request to answer, by its sequence number; -1 where none was to blame. */
  requestCleanup(sequence: number): void {
    Atomics.store(this.#integers, CUT_SEQUENCE, sequence)
  }

  /** Taken by the main thread once it turns: 0 when nothing was cut. */
  takeCleanup(): number {
    return Atomics.exchange(this.#integers, CUT_SEQUENCE, 0)
  }

  /** Monotonic milliseconds until which the main thread has asked not to be watched; 0 when it has not. */
  get blockingUntil(): number {
    return this.#floats[LONG_TURN_UNTIL] as number
  }

  get blockingName(): string | null {
    if (this.blockingUntil === 0) return null
    return this.#name.toString('utf8', 0, this.#integers[NAME_LENGTH] as number)
  }

  setBlocking(name: string, until: number): void {
    this.#integers[NAME_LENGTH] = this.#name.write(name)
    this.#floats[LONG_TURN_UNTIL] = until
  }
}
