import { monotonicNow } from '../resilience/clock.ts'

/** Milliseconds between two heartbeats of the main thread. */
export const BEAT_INTERVAL = 50
/** Milliseconds between two looks of the watchdog. */
export const LOOK_INTERVAL = 25

// Floats (8 bytes each)
const LAST_BEAT = 0
const LAG = 1
const HEAP_USED = 2
const HEAP_LIMIT = 3
const BLOCKING_UNTIL = 4
const FLOATS = 8

// Integers (4 bytes each), behind the floats
const BOOTING = 0
const TAINTED = 1
const ASYNC_HOOKS = 2
const INSPECTOR_PORT = 3
const CLEANUP_SEQUENCE = 4
const NAME_LENGTH = 5
const SESSIONS = 6
const EXITING = 7
const INSPECTOR_DENIED = 8
const STOP_LISTENER = 9
const INTEGERS = 10

/** Bytes for the name of a blocking job. */
const NAME_BYTES = 128

/**
 * Shared memory between the main thread and its watchdog: the heartbeat, and everything the
 * watchdog must know while the main thread cannot be asked. Each field has one writer.
 */
export class Pulse {
  readonly memory: SharedArrayBuffer
  readonly #floats: Float64Array
  readonly #integers: Int32Array
  readonly #name: Buffer

  /** @param memory that of the pulse in the other thread; default: new memory */
  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(FLOATS * 8 + INTEGERS * 4 + NAME_BYTES)) {
    this.memory = memory
    this.#floats = new Float64Array(memory, 0, FLOATS)
    this.#integers = new Int32Array(memory, FLOATS * 8, INTEGERS)
    this.#name = Buffer.from(memory, FLOATS * 8 + INTEGERS * 4)
  }

  /** When the event loop last turned, in monotonic milliseconds; 0 before the first turn. */
  get lastBeat(): number {
    return this.#floats[LAST_BEAT] as number
  }

  set lastBeat(now: number) {
    this.#floats[LAST_BEAT] = now
  }

  /** Records a lag of the event loop, in milliseconds; the largest since `takeLag` is kept. */
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

  /** True until the worker is ready: stalls are reported, and nothing is interrupted. */
  get booting(): boolean {
    return this.#integers[BOOTING] === 1
  }

  set booting(value: boolean) {
    this.#integers[BOOTING] = value ? 1 : 0
  }

  /** Whether the app has a shutdown of its own, for which it must not be killed. */
  get hasStopListener(): boolean {
    return this.#integers[STOP_LISTENER] === 1
  }

  set hasStopListener(value: boolean) {
    this.#integers[STOP_LISTENER] = value ? 1 : 0
  }

  /** True once JavaScript has been interrupted in this process. */
  get tainted(): boolean {
    return this.#integers[TAINTED] === 1
  }

  set tainted(value: boolean) {
    this.#integers[TAINTED] = value ? 1 : 0
  }

  /** Enabled hooks of `async_hooks.createHook`. With one, an interrupt may abort the process. */
  get asyncHooks(): number {
    return Atomics.load(this.#integers, ASYNC_HOOKS)
  }

  addAsyncHooks(by: number): void {
    Atomics.add(this.#integers, ASYNC_HOOKS, by)
  }

  /** The port of the main thread's inspector; 0 when it is closed. */
  get inspectorPort(): number {
    return this.#integers[INSPECTOR_PORT] as number
  }

  set inspectorPort(port: number) {
    this.#integers[INSPECTOR_PORT] = port
  }

  /**
   * Set by the watchdog when it interrupts: the sequence number of the request to answer, -1 for
   * none.
   */
  requestCleanup(sequence: number): void {
    Atomics.store(this.#integers, CLEANUP_SEQUENCE, sequence)
  }

  /** Taken by the main thread on its next turn; 0 when nothing was interrupted. */
  takeCleanup(): number {
    return Atomics.exchange(this.#integers, CLEANUP_SEQUENCE, 0)
  }

  /**
   * Whether the watchdog may not connect to the main thread, under `node --permission`: Node would
   * abort the process. Set by the main thread, because a thread does not know.
   */
  get inspectorDenied(): boolean {
    return this.#integers[INSPECTOR_DENIED] === 1
  }

  set inspectorDenied(denied: boolean) {
    this.#integers[INSPECTOR_DENIED] = denied ? 1 : 0
  }

  /** Inspector sessions of the watchdog that are connected to the main thread. */
  get sessions(): number {
    return Atomics.load(this.#integers, SESSIONS)
  }

  addSessions(by: number): void {
    Atomics.add(this.#integers, SESSIONS, by)
  }

  /** Set when the process exits: the watchdog closes its sessions. */
  get exiting(): boolean {
    return Atomics.load(this.#integers, EXITING) === 1
  }

  /**
   * Waits until the watchdog has closed its sessions, at most `timeout` milliseconds. Node would
   * print that it waits for a debugger if it exited before.
   */
  endSessions(timeout: number): void {
    Atomics.store(this.#integers, EXITING, 1)
    const end = monotonicNow() + timeout
    while (this.sessions > 0 && monotonicNow() < end) {
      // A loop of JavaScript, in which V8 carries out what the sessions ask for.
      Atomics.wait(this.#integers, EXITING, 1, 1)
    }
  }

  /**
   * Until when the job that `allowBlocking` runs may take, in monotonic milliseconds; 0 without
   * one.
   */
  get blockingUntil(): number {
    return this.#floats[BLOCKING_UNTIL] as number
  }

  get blockingName(): string | null {
    if (this.blockingUntil === 0) return null
    return this.#name.toString('utf8', 0, this.#integers[NAME_LENGTH] as number)
  }

  /**
   * A job of `allowBlocking` begins, which may take `timeout` milliseconds. The function that is
   * returned ends it: the timeout of the job around it, if there is one, applies again.
   */
  beginBlocking(name: string, timeout: number): () => void {
    const outer = { name: this.blockingName, until: this.blockingUntil }
    this.setBlocking(name, monotonicNow() + timeout)
    return () => this.setBlocking(outer.name ?? '', outer.until)
  }

  setBlocking(name: string, until: number): void {
    this.#integers[NAME_LENGTH] = this.#name.write(name)
    this.#floats[BLOCKING_UNTIL] = until
  }
}
