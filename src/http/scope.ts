import { type AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Outcome } from '../diagnostics/outcomes.ts'
import { checkOptions } from '../errors/check-options.ts'
import type { RequestQueries } from '../query-insight/request-queries.ts'
import { type Deadline, deadlineIn } from '../resilience/clock.ts'
import { type Duration, readCount, readDuration } from '../resilience/duration.ts'
import { waitWheel } from '../resilience/timer-wheel.ts'
import type { WaitNode } from '../resilience/wait-node.ts'
import { WaitScope, waitScopes } from '../resilience/wait-scope.ts'
import { ALLOWANCE_OPTIONS, type Allowance, isRequest } from './current-request.ts'
import { requestId } from './request-headers.ts'
import { type UnnamedWait, UnnamedWaits } from './unnamed/unnamed-waits.ts'
import type { WebSocketFrames } from './web-socket-frames.ts'

/** A setting that ends requests that make too little progress. */
export type ProgressLimit = 'minRequestRate' | 'minResponseRate' | 'streamIdleTimeout'

/** Something a request waits for. */
export interface OpenWait {
  /** The name of a wait, or the description of an unnamed one: `127.0.0.1:5432 (postgresql)`. */
  readonly name: string
  /** Monotonic milliseconds. */
  readonly since: number
  /** Unnamed waits inside a named one; absent if there are none. */
  readonly via?: readonly string[]
}

/**
 * One request while it is served. AsyncLocalStorage carries it through everything that the request
 * starts, and its waits belong to it.
 */
export class RequestScope extends WaitScope {
  /** For a stream of HTTP/2 a stand-in, until the compatibility API has made an object. */
  declare request: IncomingMessage
  declare response: ServerResponse
  /** Null for HTTP/2, whose streams share a connection. */
  declare readonly connection: Connection | null
  /** Row of its stream in the connection table; -1 for HTTP/1.1. */
  declare streamSlot: number
  declare readonly sequence: number
  /** The first byte of the response has been sent, or is about to be. */
  declare begun: boolean
  /** Its client was answered, or disconnected, in place of its handler. */
  declare abandoned: boolean
  /**
   * The status sent in place of its handler's response; 0 if its connection was closed instead,
   * null for neither.
   */
  declare substituteStatus: number | null
  /** Whole milliseconds for which it was queued before it could be read, as far as known. */
  declare queuedMs: number
  /** It is not carried out: its client cannot get the response, and sends the request again. */
  declare isTooLate: boolean
  /** How it ended, if something other than its handler decided that. */
  declare forcedOutcome: Outcome | null
  /** The error with which the app has closed its connection; null for none. */
  declare failure: Error | null
  /** What it waited for when it timed out; null before. */
  declare waitsAtTimeout: readonly OpenWait[] | null
  /** Its unnamed waits; null until there is one. */
  declare unnamed: UnnamedWaits | null
  /** The pattern of its route, e.g. `/users/:id`, as set by an adapter or the app. */
  declare route: string | null
  /** Counts its queries; null until the first. */
  declare queries: RequestQueries | null
  /** Overrides the setting of that name; null if it does not. */
  declare maxQueriesPerRequest: number | null
  /** Who has set its deadline. */
  declare deadlineBy: 'setting' | 'caller' | 'app'
  /** Its body took so long to arrive that its deadline was moved. */
  declare isReceiving: boolean
  /** It has compressed something: perhaps the begin of its response. */
  declare compresses: boolean
  /** The setting that ended it, if it made too little progress. */
  declare endedBy: ProgressLimit | null
  /** Enforces its deadline. */
  declare watcher: { deadlineChanged(scope: RequestScope): void } | null
  /** Neighbours in the list of requests in flight. */
  declare older: RequestScope | null
  declare newer: RequestScope | null
  declare private knownId: string | null

  /** @param startedAt monotonic milliseconds of its acceptance, including time in a queue */
  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    connection: Connection | null,
    startedAt: number,
    deadline: Deadline,
    sequence: number,
  ) {
    super()
    // All fields are set here (see `WaitNode`), except those of `UNTOUCHED`.
    this.startedAt = startedAt
    this.deadline = deadline
    this.reserve = reserveOf(deadline - startedAt)
    this.home = this
    this.firstOpen = null
    this.kept = null
    this.request = request
    this.response = response
    this.connection = connection
    this.sequence = sequence
    this.begun = false
    this.ended = false
    this.queuedMs = 0
    this.unnamed = null
    this.route = null
    this.queries = null
    this.watcher = null
    this.older = null
    this.newer = null
    this.knownId = null
  }

  /**
   * `X-Request-Id`, or the trace id of `traceparent`, if the client sent a valid one; else a new
   * id.
   */
  get id(): string {
    this.knownId ??= requestId(this.request.rawHeaders)
    return this.knownId
  }

  /**
   * Replaces its deadline, set by `requestTimeout` or by its caller. For routes that take longer
   * than others, or must not. Unlike those it also covers the response after its begin, until its
   * end.
   *
   * @param allowance a duration from its acceptance, e.g. `'10m'` or `'unbounded'`; or `{ timeout:
   * '10m', queries: { max: 5 } }`
   * @throws InvalidOptionError for an invalid duration or number of queries
   */
  allow(allowance: Duration | Allowance): void {
    if (typeof allowance === 'object') checkOptions('currentRequest().allow', allowance, ALLOWANCE_OPTIONS)
    const { timeout, queries } =
      typeof allowance === 'object' && allowance !== null ? allowance : { timeout: allowance, queries: undefined }
    if (queries !== undefined) {
      checkOptions('currentRequest().allow', queries, { max: true }, 'queries.')
      this.maxQueriesPerRequest = readCount('currentRequest().allow', 'queries.max', queries.max, 0)
    }
    if (timeout === undefined) return
    this.deadline = deadlineIn(readDuration('currentRequest().allow', 'timeout', timeout), this.startedAt)
    this.deadlineBy = 'app'
    this.watcher?.deadlineChanged(this)
  }

  /** Records an unnamed wait that it starts now. */
  beginUnnamed(wait: UnnamedWait): void {
    this.unnamed ??= new UnnamedWaits()
    this.unnamed.begin(wait)
  }

  /** Milliseconds since it was accepted. */
  get age(): number {
    return this.wheel.now() - this.startedAt
  }
}

/**
 * Fields that hardly any request sets are on the prototype: half as many fields per request are
 * half as much to write and to collect. Fields of a request that waits or queries a database are
 * not among them, because setting one changes the shape of the object.
 */
const UNTOUCHED = {
  wheelNext: null,
  wheelPrevious: null,
  wheelTick: 0,
  wheelHolds: false,
  wheel: waitWheel,
  parent: null,
  reason: undefined,
  controller: null,
  nextOpen: null,
  previousOpen: null,
  leaving: false,
  unfinished: 0,
  abandoned: false,
  substituteStatus: null,
  cleansUpSince: 0,
  forcedOutcome: null,
  waitsAtTimeout: null,
  deadlineBy: 'setting',
  isReceiving: false,
  compresses: false,
  endedBy: null,
  failure: null,
  isTooLate: false,
  maxQueriesPerRequest: null,
  streamSlot: -1,
}
Object.assign(RequestScope.prototype, UNTOUCHED)

const MAX_RESERVE = 100

/**
 * Milliseconds of the request's time that its waits must leave, so that the app can still respond
 * to their failure.
 */
function reserveOf(timeout: number): number {
  return Math.min(MAX_RESERVE, timeout / 20)
}

/** Decides how a connection is drained, and whether emergency responses can be written to it. */
export type ConnectionProtocol = 'http' | 'upgraded' | 'other'

/** A connection of a server. */
export interface Connection {
  /** The one that carries requests: of a TLS connection the encrypted one. */
  socket: Socket
  /** Row in the connection table; -1 if the table is full. */
  slot: number
  protocol: ConnectionProtocol
  /** Bytes sent before the response that is being streamed. */
  sentBefore: number
  /** A response has told the client that it is the last one on this connection. */
  isClosing: boolean
  /** The requests on it that have not ended; more than one only when the client pipelines. */
  readonly scopes: RequestScope[]
  /** Monotonic milliseconds of its acceptance, or of the start of its last request. */
  lastSeen: number
  /** The `Upgrade` header in lower case, once upgraded. */
  upgradeProtocol: string | null
  /** What it has written as a WebSocket; null if it is none. */
  frames: WebSocketFrames | null
  /** Index in the array of open connections. */
  place: number
}

/**
 * Carries the scope of the request, or of work within it, through awaits, timers, ticks and events.
 */
export const scopes: AsyncLocalStorage<WaitScope> = waitScopes

/** The request whose code is running; undefined outside of requests. */
export function runningRequest(): RequestScope | undefined {
  return requestAround(scopes.getStore())
}

/**
 * The request whose code is running, if its client still waits for the response; undefined outside
 * of requests.
 */
export function unansweredRequest(): RequestScope | undefined {
  const scope = runningRequest()
  return scope === undefined || scope.ended || scope.abandoned ? undefined : scope
}

/** The request that this work is part of. */
function requestAround(work: WaitNode | null | undefined): RequestScope | undefined {
  for (let node = work ?? null; node !== null; node = node.parent) {
    if (node instanceof RequestScope || isRequest(node)) return node as RequestScope
  }
  return undefined
}

/**
 * Calls `run` in a scope, and returns its result. `scopes.run` does the same, but takes three times
 * as long: it creates a second context to restore the previous one, which an `AsyncResource` just
 * restores.
 */
export function runInScope<A, B, R>(scope: RequestScope, run: (scope: RequestScope, a: A, b: B) => R, a: A, b: B): R {
  return new AsyncResource('punctual.request').runInAsyncScope(enter<A, B, R>, undefined, scope, run, a, b)
}

function enter<A, B, R>(scope: RequestScope, run: (scope: RequestScope, a: A, b: B) => R, a: A, b: B): R {
  scopes.enterWith(scope)
  return run(scope, a, b)
}

/** Properties on requests and sockets; symbols, so that they cannot clash with those of an app. */
export const scopeOf: unique symbol = Symbol('punctual.scope')
export const connectionOf: unique symbol = Symbol('punctual.connection')

/**
 * The scope of the request that a response answers, found through `response.req`: a property on the
 * response would cost an allocation.
 */
export function scopeOfResponse(response: ServerResponse): RequestScope | undefined {
  const scope = (response.req as (IncomingMessage & { readonly [scopeOf]?: RequestScope }) | undefined)?.[scopeOf]
  // An app may create a second response for a request, to capture what is written to it.
  return scope?.response === response ? scope : undefined
}

/**
 * Requests in flight, oldest first: a linked list, because they end in any order and removal must
 * cost the same for each.
 */
export class InFlight implements Iterable<RequestScope> {
  oldest: RequestScope | null = null
  #newest: RequestScope | null = null
  size = 0

  add(scope: RequestScope): void {
    scope.older = this.#newest
    if (this.#newest === null) this.oldest = scope
    else this.#newest.newer = scope
    this.#newest = scope
    this.size++
  }

  remove(scope: RequestScope): void {
    if (scope.older === null) this.oldest = scope.newer
    else scope.older.newer = scope.newer
    if (scope.newer === null) this.#newest = scope.older
    else scope.newer.older = scope.older
    scope.older = null
    scope.newer = null
    this.size--
  }

  /** Linear search, for a response whose `req` was replaced. */
  findByResponse(response: ServerResponse): RequestScope | undefined {
    for (let scope = this.oldest; scope !== null; scope = scope.newer) if (scope.response === response) return scope
    return undefined
  }

  *[Symbol.iterator](): Generator<RequestScope> {
    let scope = this.oldest
    while (scope !== null) {
      // Read before yielding: the caller may end the request, which removes it from the list.
      const { newer } = scope
      yield scope
      scope = newer
    }
  }
}
