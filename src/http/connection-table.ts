import type { RequestLine } from '../diagnostics/incident.ts'
import { OUTCOMES, type OutcomeCounts } from '../diagnostics/outcomes.ts'
import { redactTarget } from '../redaction/redaction.ts'

/**
 * Every open connection of a worker and the request on it, in shared memory: written by the main
 * thread, read by the watchdog thread while the main thread is blocked. Incidents list its
 * requests, and emergency responses are written to its descriptors, so a row is cleared before its
 * descriptor is closed.
 *
 * A row has 192 bytes: four 32-bit integers (descriptor, flags, sequence, text length), two 64-bit
 * floats in monotonic milliseconds (start of the request, when its code may be interrupted) and 160
 * bytes of text (`POST /login`). Unused rows cost address space, not memory.
 */

const ROW = 192
const TEXT_AT = 32
const TEXT_ROOM = ROW - TEXT_AT
/**
 * 24 floats: six totals, two unused, requests by outcome in the order of `OUTCOMES`; the last three
 * are of load shedding.
 */
const HEADER = 192
const OUTCOMES_AT = 8
const WOULD_BE_SHED_AT = 21
const WAITING_AT = 22
const OVERLOADED_AT = 23

const QUESTION_MARK = 63

/** Bits of the flags. */
const OPEN = 1
/** A request has been read, and its response has not started. */
export const WAITING = 2
/** A response has started, and has not been sent completely. */
export const BEGUN = 4
/** Its descriptor must not be written to: TLS, HTTP/2, upgraded, or not HTTP. */
export const OPAQUE = 8
/** It is part of another connection, and not counted: a stream of HTTP/2, or a decoded stream. */
export const NESTED = 16

/**
 * Default number of rows; further connections are served, but neither listed nor given emergency
 * responses.
 */
const CAPACITY = 16_384

const INTEGERS = ROW / 4
const FLOATS = ROW / 8

/** A row as the watchdog thread reads it. */
export interface ConnectionRow {
  readonly slot: number
  /** Descriptor of the socket; -1 if unknown. */
  readonly fd: number
  readonly flags: number
}

export class ConnectionTable {
  readonly memory: SharedArrayBuffer
  readonly #integers: Int32Array
  readonly #floats: Float64Array
  readonly #bytes: Buffer
  readonly #totals: Float64Array
  readonly #free: number[] = []
  readonly #capacity: number
  /** Number of rows that have been used. */
  #used = 0
  #sequence = 0

  /** Creates a table; or, with the memory of one, a view for another thread. */
  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(HEADER + ROW * CAPACITY)) {
    this.memory = memory
    this.#totals = new Float64Array(memory, 0, HEADER / 8)
    this.#integers = new Int32Array(memory, HEADER)
    this.#floats = new Float64Array(memory, HEADER)
    this.#bytes = Buffer.from(memory, HEADER)
    this.#capacity = (memory.byteLength - HEADER) / ROW
  }

  /** Allocates a row for a new connection; -1 if the table is full. */
  open(fd: number, flags: number, now: number): number {
    let slot = this.#free.pop()
    if (slot === undefined) {
      if (this.#used === this.#capacity) return -1
      slot = this.#used++
      this.#totals[2] = this.#used
    }
    const at = slot * INTEGERS
    this.#integers[at] = fd
    this.#floats[slot * FLOATS + 2] = now
    this.#integers[at + 1] = OPEN | flags
    if ((flags & NESTED) === 0) this.#add(3, 1)
    return slot
  }

  /**
   * Frees the row. Called before the descriptor is closed, because its number is reused at once.
   */
  close(slot: number): void {
    if (slot < 0) return
    const at = slot * INTEGERS
    const flags = this.#integers[at + 1] as number
    this.#integers[at + 1] = 0
    this.#integers[at] = -1
    this.#free.push(slot)
    if ((flags & NESTED) === 0) this.#add(3, -1)
  }

  /**
   * A request has been read on this connection. Returns its sequence number, which identifies it.
   */
  begin(
    slot: number,
    method: string,
    target: string,
    now: number,
    interruptAt: number = Number.POSITIVE_INFINITY,
  ): number {
    const begun = (this.#totals[0] as number) + 1
    this.#totals[0] = begun
    // Never 0, which means none. Not computed as a remainder of floats, which takes longer than the
    // rest of this.
    this.#sequence = this.#sequence === 0x7fffffff ? 1 : this.#sequence + 1
    const sequence = this.#sequence
    this.#add(1, 1)
    if (slot < 0) return sequence
    const at = slot * INTEGERS
    this.#integers[at + 3] = this.#write(slot * ROW + TEXT_AT, method, target)
    this.#floats[slot * FLOATS + 2] = now
    this.#floats[slot * FLOATS + 3] = interruptAt
    this.#integers[at + 2] = sequence
    this.#integers[at + 1] = ((this.#integers[at + 1] as number) & ~BEGUN) | WAITING
    return sequence
  }

  /** The first byte of the response is about to be sent. */
  answering(slot: number): void {
    if (slot < 0) return
    const at = slot * INTEGERS + 1
    this.#integers[at] = ((this.#integers[at] as number) & ~WAITING) | BEGUN
  }

  /** A request has ended; `idle` if no other is pipelined behind it. */
  end(slot: number, idle: boolean): void {
    this.#add(1, -1)
    if (slot < 0) return
    const at = slot * INTEGERS + 1
    const rest = (this.#integers[at] as number) & ~(WAITING | BEGUN)
    this.#integers[at] = idle ? rest : rest | WAITING
  }

  /** The connection carries plain HTTP after all: another server has passed it on. */
  makeTransparent(slot: number): void {
    if (slot < 0) return
    const at = slot * INTEGERS + 1
    this.#integers[at] = (this.#integers[at] as number) & ~OPAQUE
  }

  /** The connection was upgraded to another protocol. */
  makeOpaque(slot: number): void {
    if (slot < 0) return
    const at = slot * INTEGERS + 1
    this.#integers[at] = ((this.#integers[at] as number) & ~(WAITING | BEGUN)) | OPAQUE
  }

  /**
   * Sequence number of the request whose handler is on the stack of the main thread; 0 for none,
   * and after its first `await`. While a system call blocks, the stack cannot be read, and this is
   * all that is known.
   */
  get running(): number {
    return this.#totals[4] as number
  }

  set running(sequence: number) {
    this.#totals[4] = sequence
  }

  /** Requests since the worker started. */
  get requests(): number {
    return this.#totals[0] as number
  }

  get inFlight(): number {
    return this.#totals[1] as number
  }

  get connections(): number {
    return this.#totals[3] as number
  }

  /** Every open connection, and every open stream of HTTP/2. */
  *rows(): Generator<ConnectionRow> {
    const used = this.#totals[2] as number
    for (let slot = 0; slot < used; slot++) {
      const flags = this.#integers[slot * INTEGERS + 1] as number
      if ((flags & OPEN) !== 0) yield { slot, fd: this.#integers[slot * INTEGERS] as number, flags }
    }
  }

  /** Method and path of the last request on a connection, truncated to the size of the row. */
  textOf(slot: number): string {
    const length = this.#integers[slot * INTEGERS + 3] as number
    return this.#bytes.toString('latin1', slot * ROW + TEXT_AT, slot * ROW + TEXT_AT + length)
  }

  sequenceOf(slot: number): number {
    return this.#integers[slot * INTEGERS + 2] as number
  }

  /**
   * When the code of the request on this connection may be interrupted, in monotonic milliseconds;
   * infinite for never.
   */
  interruptAtOf(slot: number): number {
    return this.#floats[slot * FLOATS + 3] as number
  }

  setInterruptAt(slot: number, instant: number): void {
    if (slot >= 0) this.#floats[slot * FLOATS + 3] = instant
  }

  /** A request has ended. @param outcome index in `OUTCOMES` */
  countOutcome(outcome: number): void {
    this.#add(OUTCOMES_AT + outcome, 1)
  }

  /** Requests by outcome since the worker started. */
  outcomes(): OutcomeCounts {
    return Object.fromEntries(
      OUTCOMES.map((outcome, at) => [outcome, this.#totals[OUTCOMES_AT + at] as number]),
    ) as OutcomeCounts
  }

  /** Operations that are still running although their wait has ended. */
  get abandonedOperations(): number {
    return this.#totals[5] as number
  }

  set abandonedOperations(count: number) {
    this.#totals[5] = count
  }

  /** With `loadShedding: dry-run`, a request would have been shed. */
  countWouldBeShed(): void {
    this.#add(WOULD_BE_SHED_AT, 1)
  }

  get wouldBeShed(): number {
    return this.#totals[WOULD_BE_SHED_AT] as number
  }

  /** Queued requests; they are in flight, and their handlers have not been called. */
  get waiting(): number {
    return this.#totals[WAITING_AT] as number
  }

  set waiting(count: number) {
    this.#totals[WAITING_AT] = count
  }

  /** Load shedding has detected overload. */
  get overloaded(): boolean {
    return this.#totals[OVERLOADED_AT] === 1
  }

  set overloaded(value: boolean) {
    this.#totals[OVERLOADED_AT] = value ? 1 : 0
  }

  line(slot: number, now: number): RequestLine {
    const text = this.textOf(slot)
    const space = text.indexOf(' ')
    return {
      method: text.slice(0, space),
      target: redactTarget(text.slice(space + 1)),
      ageMs: Math.round(now - (this.#floats[slot * FLOATS + 2] as number)),
    }
  }

  /** Requests in flight, oldest first. */
  lines(now: number, most: number): RequestLine[] {
    const found: RequestLine[] = []
    for (const { slot, flags } of this.rows()) {
      if ((flags & (WAITING | BEGUN)) !== 0) found.push(this.line(slot, now))
    }
    return found.sort((a, b) => b.ageMs - a.ageMs).slice(0, most)
  }

  /**
   * Without the query string, which may contain secrets. Byte by byte, because most texts are
   * short: concatenating and `Buffer.write` take three times as long.
   */
  #write(start: number, method: string, target: string): number {
    const bytes = this.#bytes
    let at = start
    for (let index = 0; index < method.length; index++) bytes[at++] = method.charCodeAt(index)
    bytes[at++] = 32
    const length = Math.min(target.length, start + TEXT_ROOM - at)
    for (let index = 0; index < length; index++) {
      const code = target.charCodeAt(index)
      if (code === QUESTION_MARK) break
      bytes[at++] = code
    }
    return at - start
  }

  #add(total: number, by: number): void {
    this.#totals[total] = (this.#totals[total] as number) + by
  }
}
