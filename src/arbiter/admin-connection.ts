import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { afterIo, monotonicNow, wallClock } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import { type AdminAnswer, problem } from './admin-answer.ts'
import { type AdminRequest, type HeadFault, lengthOfHead, parseHead } from './admin-request.ts'

/** Answers a request; never rejects. An answer that is there at once is returned as it is. */
export type AnswerRequest = (request: AdminRequest) => AdminAnswer | Promise<AdminAnswer>

interface Events {
  onRequest(): void
  /** The bytes that this connection keeps in memory have changed by so much. */
  onHeld(change: number): void
  onClosed(): void
}

/** What one read may return, and what a socket may still read after it was paused, in bytes. */
const READ_SIZE = 64 * 1024
/** What is read and dropped of a client that still sends after its last answer, in bytes. */
const MAX_DROPPED = 1024 * 1024
/** How long the making of an answer may take, in milliseconds: a disk may hang. */
const ANSWER_TIMEOUT = 30_000
/** How long such a client has to close the connection, in milliseconds. */
const CLOSE_GRACE = 1_000
const NOTHING = Buffer.alloc(0)

const FAULTS: Readonly<Record<HeadFault | 'late', readonly [status: number, detail: string]>> = {
  malformed: [400, 'The request is not HTTP/1.1.'],
  late: [408, 'The request did not arrive in time.'],
  'too-large': [431, 'The request line and headers are too large.'],
  'other-version': [505, 'The admin server speaks HTTP/1.1.'],
}

/**
 * A connection to the admin server. It serves one request at a time: while an answer is not yet in
 * the hands of the kernel, nothing more is read. Node's HTTP server is not used because it reads
 * requests ahead without a limit, and keeps objects of several kilobytes for each of them.
 */
export class AdminConnection {
  /** When it was opened or last completed a step, on the monotonic clock. */
  since: number = monotonicNow()
  /** Bytes of an unread answer, and of requests behind it. */
  held = 0
  readonly #socket: Socket
  readonly #answer: AnswerRequest
  readonly #events: Events
  /**
   * - `reading`: the head of a request is awaited.
   * - `answering`: a request is being answered, or its answer is not read yet.
   * - `closing`: the last answer was sent; what still arrives is dropped.
   */
  #state: 'reading' | 'answering' | 'closing' = 'reading'
  /** What arrived of the next request, and of those behind it. */
  #received: Buffer = NOTHING
  /** What was read first of it, as it came from the socket. */
  #chunk: Buffer | null = null
  #dropped = 0
  #hasServed = false
  /** The answer is being made; the client waits. */
  #isMaking = false
  #isLast = false

  constructor(socket: Socket, answer: AnswerRequest, events: Events) {
    this.#socket = socket
    this.#answer = answer
    this.#events = events
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.once('end', () => {
      if (this.#state === 'reading') socket.destroy()
      else this.endWhenAnswered()
    })
    socket.once('close', () => {
      this.#hold(0)
      this.#free()
      events.onClosed()
    })
  }

  /** Closes the connection at once, without an answer. */
  reset(): void {
    this.#hold(0)
    this.#free()
    this.#events.onClosed()
    this.#socket.resetAndDestroy()
  }

  /** Closes the connection when it has answered the request that it is answering. */
  endWhenAnswered(): void {
    this.#isLast = true
    if (this.#state === 'reading') this.#end()
  }

  endIfOverdue(now: Milliseconds, headTimeout: Milliseconds, clientTimeout: Milliseconds): void {
    const age = now - this.since
    if (this.#state === 'answering') {
      if (age > (this.#isMaking ? ANSWER_TIMEOUT : clientTimeout)) this.reset()
    } else if (this.#state === 'closing') {
      if (age > (this.#socket.writableFinished ? CLOSE_GRACE : clientTimeout)) this.reset()
    } else if (this.#received.length > 0) {
      if (age > headTimeout) this.#refuse('late')
    } else if (age > (this.#hasServed ? clientTimeout : headTimeout)) this.#end()
  }

  #read(chunk: Buffer): void {
    if (this.#state === 'closing') {
      this.#dropped += chunk.length
      free(chunk)
      if (this.#dropped > MAX_DROPPED) this.reset()
      return
    }
    const before = this.#received
    // The first byte of a request that follows another one.
    if (before.length === 0 && this.#hasServed && this.#state === 'reading') this.since = monotonicNow()
    if (before.length === 0) {
      this.#received = chunk
      this.#chunk = chunk
    } else {
      this.#received = Buffer.concat([before, chunk])
      free(chunk)
    }
    if (this.#state === 'answering') this.#wait()
    else this.#next(before.length)
  }

  /** Answers the next request if it is complete. */
  #next(from: number): void {
    const end = lengthOfHead(this.#received, from)
    if (end === null) return this.#hold(this.#received.length)
    if (typeof end === 'string') return this.#refuse(end)
    const request = parseHead(this.#received.toString('latin1', 0, end))
    if (typeof request === 'string') return this.#refuse(request)
    this.#received = end === this.#received.length ? NOTHING : this.#received.subarray(end)
    this.#state = 'answering'
    this.since = monotonicNow()
    this.#hasServed = true
    this.#isLast ||= !request.keepsAlive
    this.#events.onRequest()
    const answer = this.#answer(request)
    if (!(answer instanceof Promise)) return this.#send(request.method, answer)
    this.#isMaking = true
    this.#wait()
    void answer.then((found) => this.#send(request.method, found))
  }

  #refuse(fault: HeadFault | 'late'): void {
    this.#isLast = true
    this.#send('GET', problem(...FAULTS[fault]))
  }

  #send(method: string, { status, type, body, headers = {} }: AdminAnswer): void {
    const socket = this.#socket
    this.#isMaking = false
    if (!socket.writable) return
    const fields = {
      date: wallClock().toUTCString(),
      'content-type': type,
      'content-length': body.length,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'same-origin',
      connection: this.#isLast ? 'close' : 'keep-alive',
      ...headers,
    }
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
    const head = Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n`, 'latin1')
    this.since = monotonicNow()
    if (this.#isLast) return this.#end(method === 'HEAD' ? [head] : [head, body])
    socket.cork()
    socket.write(head, () => method === 'HEAD' && this.#sent())
    if (method !== 'HEAD') socket.write(body, () => this.#sent())
    socket.uncork()
    if (socket.writableLength > 0 || this.#received.length > 0) this.#wait()
  }

  /** The kernel has taken the whole answer. */
  #sent(): void {
    if (this.#received.length === 0) return this.#continue()
    // After I/O, so that many requests on one connection do not delay those on others.
    afterIo(() => this.#continue())
  }

  #continue(): void {
    if (this.#state !== 'answering' || this.#socket.destroyed) return
    if (this.#isLast) return this.#end()
    this.#state = 'reading'
    this.since = monotonicNow()
    if (this.#received.length > 0) this.#next(0)
    else this.#hold(0)
    if (this.#isReading()) this.#socket.resume()
  }

  #isReading(): boolean {
    return this.#state === 'reading'
  }

  #end(last: readonly Buffer[] = []): void {
    this.#state = 'closing'
    this.since = monotonicNow()
    this.#received = NOTHING
    const socket = this.#socket
    socket.cork()
    for (const bytes of last) socket.write(bytes)
    socket.end(() => {
      this.since = monotonicNow()
      this.#hold(0)
    })
    this.#hold(socket.writableLength)
    // Closed with unread bytes, the connection would be reset, and the client lose the answer.
    socket.resume()
  }

  /** Reads no more until the answer is in the hands of the kernel. */
  #wait(): void {
    this.#socket.pause()
    const behind = this.#received.length === 0 ? 0 : READ_SIZE
    this.#hold(behind + READ_SIZE + this.#socket.writableLength)
  }

  #free(): void {
    this.#received = NOTHING
    for (const chunk of [this.#chunk, this.#socket.read() as Buffer | null]) if (chunk !== null) free(chunk)
    this.#chunk = null
  }

  #hold(bytes: number): void {
    const change = bytes - this.held
    this.held = bytes
    if (change !== 0) this.#events.onHeld(change)
  }
}

/**
 * Frees what came from a socket, which V8 may do when tens of megabytes are left of closed
 * connections. Node gives each read an array buffer of its own.
 */
function free(chunk: Buffer): void {
  const { buffer, byteOffset, length } = chunk
  if (byteOffset === 0 && buffer.byteLength === length && length > 0) (buffer as ArrayBuffer).transfer(0)
}
