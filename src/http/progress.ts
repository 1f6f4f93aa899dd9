import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { monotonicNow } from '../resilience/clock.ts'
import { type Milliseconds, UNBOUNDED } from '../resilience/duration.ts'
import { unacknowledgedBytes } from '../system/tcp-send-queues.ts'
import { isGrpc, StreamRequest, streamOf } from './http2-stream.ts'
import type { InFlight, ProgressLimit, RequestScope } from './scope.ts'

/** Milliseconds between two measurements. */
const INTERVAL = 500
/** If the loop was blocked, its clients are charged for at most this many milliseconds of that. */
const MAX_STEP = 1_000
/** Milliseconds for which a client may be slower than the minimum rate. */
const GRACE = 5_000
/**
 * Milliseconds in advance that a client can earn by being faster. Kestrel has no such limit: there,
 * a client that has received 10 MB may then stop for 12 hours.
 */
const MAX_CREDIT = 300_000
/** Milliseconds of balance below which the kernel is asked what a client has acknowledged. */
const DOUBTFUL = 10_000
/**
 * The kernel's table takes 60 ms with 30,000 connections, half of them on the main thread: a pause
 * between two looks is so many times as long, but not longer than the maximum.
 */
const LOOK_PAUSE = 50
const MAX_LOOK_PAUSE = 5_000

export interface ProgressSettings {
  /** Bytes a second; 0 for no minimum. */
  readonly minRequestRate: number
  readonly minResponseRate: number
  readonly streamIdleTimeout: Milliseconds
}

/**
 * Bytes in one direction against a minimum rate, as an account of time: waiting costs time, and
 * every byte earns some. After the `MinDataRate` of Kestrel.
 */
class RateAccount {
  /** Milliseconds for which the client may still be waited for; below 0 it is too slow. */
  balance = GRACE
  #bytes = 0

  /** @param bytes in all, so far */
  moveTo(bytes: number, rate: number): void {
    if (bytes <= this.#bytes) return
    this.balance = Math.min(this.balance + ((bytes - this.#bytes) * 1_000) / rate, MAX_CREDIT)
    this.#bytes = bytes
  }

  wait(step: number): void {
    this.balance -= step
  }

  /** The client is not waited for. What comes next has its own grace. */
  rest(): void {
    this.balance = Math.max(this.balance, GRACE)
  }
}

/** What is known of one request that has lived for some time. */
class Progress {
  readonly request = new RateAccount()
  readonly response = new RateAccount()
  /** Bytes read from the connection, and passed to the kernel. */
  received = 0
  sent = 0
  /** Bytes of its body that were read from its stream; undefined for HTTP/1.1. */
  ofStream: number | undefined
  /** When one of these changed, or bytes were waiting to leave. */
  activeAt: number

  constructor(now: number) {
    this.activeAt = now
  }
}

interface StreamHandle {
  /** Bytes that libuv has not passed to the kernel. */
  readonly writeQueueSize?: number
  /** Bytes that libuv was given. */
  readonly bytesWritten?: number
  readonly fd?: number
  /** The handle that encryption wraps. */
  readonly _parent?: StreamHandle | null
}
type Internals = Socket & { readonly _handle?: StreamHandle | null }

/**
 * Watches the progress of requests instead of their duration: bodies that arrive, and responses
 * that have begun. It measures all of them twice a second, so that a short request costs nothing.
 *
 * The client is charged only for time in which it is waited for: the app reads and nothing has
 * arrived, or bytes wait to leave. The slowness of the app is not its own.
 */
export class ProgressMonitor {
  readonly #inFlight: InFlight
  readonly #settings: Partial<ProgressSettings>
  #measuredAt = Number.NEGATIVE_INFINITY
  readonly #progress = new WeakMap<RequestScope, Progress>()
  /** Responses whose clients are too slow, unless they have acknowledged more than is known. */
  #doubtful: [RequestScope, Progress][] = []
  #isLooking = false
  #nextLookAt = Number.NEGATIVE_INFINITY
  /** Called when a body arrives, or is waited for. */
  onReceiving: (scope: RequestScope) => void = () => {}
  /** Called when a request has made too little progress. */
  onTooSlow: (scope: RequestScope, limit: ProgressLimit) => void = () => {}

  constructor(inFlight: InFlight, settings: Partial<ProgressSettings>) {
    this.#inFlight = inFlight
    this.#settings = settings
  }

  /** Called regularly, before the network is read. */
  loopTurned(now: number): void {
    const step = now - this.#measuredAt
    if (step < INTERVAL) return
    this.#measuredAt = now
    if (this.#inFlight.size === 0) return
    for (const scope of this.#inFlight) this.#measure(scope, now, Math.min(step, MAX_STEP))
    if (this.#doubtful.length > 0 && !this.#isLooking && now >= this.#nextLookAt) void this.#look(this.#doubtful)
    this.#doubtful = []
  }

  #measure(scope: RequestScope, now: number, step: number): void {
    const { request, begun, connection } = scope
    if (scope.abandoned || (request.complete && !begun)) return
    let progress = this.#progress.get(scope)
    if (progress === undefined) {
      progress = new Progress(now)
      this.#progress.set(scope, progress)
      if (connection === null) countReceived(scope, progress)
    }
    // One that is pipelined behind another waits for that: ending it would end the one before it.
    const isFirst = connection === null || connection.scopes[0] === scope
    if (!request.complete && this.#isTooSlow(scope, progress, now, isFirst ? step : 0))
      return this.onTooSlow(scope, 'minRequestRate')
    if (begun && isFirst) this.#measureResponse(scope, progress, now, step)
  }

  /** Checks a request whose body has not arrived completely. */
  #isTooSlow(scope: RequestScope, progress: Progress, now: number, step: number): boolean {
    const { minRequestRate = 0 } = this.#settings
    // A connection that an app has given to its server need not be a socket, and may not count.
    const received: number | undefined = scope.connection === null ? progress.ofStream : socketOf(scope)?.bytesRead
    const isAwaited = awaitsBody(scope)
    if (received !== undefined && received > progress.received) {
      progress.received = received
      progress.activeAt = now
      this.onReceiving(scope)
    } else if (isAwaited) {
      this.onReceiving(scope)
    }
    // Once the response has begun, both sides talk, and may have nothing to say.
    if (minRequestRate === 0 || scope.begun || received === undefined) return false
    progress.request.moveTo(received, minRequestRate)
    if (isAwaited) progress.request.wait(step)
    return progress.request.balance < 0
  }

  #measureResponse(scope: RequestScope, progress: Progress, now: number, step: number): void {
    const { minResponseRate = 0, streamIdleTimeout = UNBOUNDED } = this.#settings
    const socket = socketOf(scope)
    if (socket === undefined) return
    const handle = innermost(socket)
    const queued = handle?.writeQueueSize ?? 0
    const sent = (handle?.bytesWritten ?? 0) - queued
    const ofStream = scope.connection === null ? streamOf(scope)?.writableLength : undefined
    const isWaiting = ofStream === undefined ? queued > 0 || socket.writableLength > 0 : ofStream > 0
    if (isWaiting || sent !== progress.sent) {
      progress.sent = sent
      progress.activeAt = now
    }
    if (!isWaiting) {
      progress.response.rest()
      if (now - progress.activeAt > streamIdleTimeout && scope.deadlineBy !== 'app')
        this.onTooSlow(scope, 'streamIdleTimeout')
      return
    }
    if (minResponseRate === 0 || handle?.bytesWritten === undefined) return
    progress.response.wait(step)
    if (progress.response.balance < DOUBTFUL) this.#doubtful.push([scope, progress])
  }

  /**
   * Bytes that the kernel has accepted need not have been received; and it accepts more only when a
   * third of its buffer is free, which takes a slow client a minute. So it is asked for the bytes
   * that were acknowledged. Where it does not say, all accepted bytes count.
   */
  async #look(doubtful: readonly [RequestScope, Progress][]): Promise<void> {
    this.#isLooking = true
    const startedAt = monotonicNow()
    const queues = await unacknowledgedBytes(doubtful.map(([scope]) => descriptorOf(scope)))
    this.#isLooking = false
    const now = monotonicNow()
    this.#nextLookAt = now + Math.min((now - startedAt) * LOOK_PAUSE, MAX_LOOK_PAUSE)
    const { minResponseRate = 0 } = this.#settings
    for (const [index, [scope, progress]] of doubtful.entries()) {
      if (scope.ended || scope.abandoned || minResponseRate === 0) continue
      progress.response.moveTo(progress.sent - (queues[index] ?? 0), minResponseRate)
      if (progress.response.balance < 0) this.onTooSlow(scope, 'minResponseRate')
    }
  }
}

/** Whether the app reads the body of this request, and has read all that has arrived. */
export function awaitsBody(scope: RequestScope): boolean {
  // The client of a call may have nothing to say, and is not measured.
  if (scope.request.complete || isGrpc(scope)) return false
  const body = bodyOf(scope)
  if (body === undefined || body.readableLength > 0) return false
  return body.readableFlowing === true || body.listenerCount('readable') > 0
}

/** The stream that the app reads: for HTTP/2 without the compatibility API, that of the request. */
function bodyOf(scope: RequestScope): Readable | undefined {
  const { request } = scope
  return (request as IncomingMessage | StreamRequest) instanceof StreamRequest ? streamOf(scope) : request
}

/** Counts the bytes of a stream of HTTP/2, for which Node has no counter, once the app reads it. */
function countReceived(scope: RequestScope, progress: Progress): void {
  const stream = streamOf(scope)
  if (stream === undefined || stream.listenerCount('data') === 0) return
  progress.ofStream = 0
  stream.on('data', (chunk: Buffer | string) => {
    progress.ofStream = (progress.ofStream ?? 0) + chunk.length
  })
}

/** The socket that carries a request: over HTTP/2 that of its session, with other streams. */
function socketOf(scope: RequestScope): Internals | undefined {
  const { connection } = scope
  if (connection !== null) return connection.socket
  const session = streamOf(scope)?.session
  return session === undefined || session.destroyed ? undefined : (session.socket as Internals)
}

/** The handle of the connection itself, which encryption wraps. */
function innermost(socket: Internals): StreamHandle | null {
  let handle = socket._handle ?? null
  while (handle?._parent !== undefined && handle._parent !== null) handle = handle._parent
  return handle
}

function descriptorOf(scope: RequestScope): number {
  const socket = socketOf(scope)
  return (socket === undefined ? null : innermost(socket))?.fd ?? -1
}
