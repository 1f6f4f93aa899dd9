import { type AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Outcome } from '../diagnostics/outcomes.ts'
import type { RequestQueries } from '../diagnostics/request-queries.ts'
import { type Deadline, deadlineIn } from '../resilience/clock.ts'
import { type Duration, readCount, readDuration } from '../resilience/duration.ts'
import { waitWheel } from '../resilience/timer-wheel.ts'
import type { WaitNode } from '../resilience/wait-node.ts'
import { WaitScope, waitScopes } from '../resilience/wait-scope.ts'
import { requestId } from './request-id.ts'
import { type UnnamedWait, UnnamedWaits } from './unnamed/unnamed-waits.ts'

/** What a request may take. */
export interface Allowance {
  /** From its acceptance until it must be answered. */
  readonly timeout?: Duration
  /** How many queries it may run, on guarded pools and SQLite databases together. More are told in the log; in tests they fail. */
  readonly queries?: { readonly max: number }
}

/** Something a request waits for. */
export interface OpenWait {
  /** The name of a wait, or the description of an unnamed one: `127.0.0.1:5432 (postgresql)`. */
  readonly name: string
  /** Monotonic milliseconds. */
  readonly since: number
  /** Unnamed waits inside a named one; absent if there are none. */
  readonly via?: readonly string[]
}

/** One request while it is served. It is what AsyncLocalStorage carries through everything the request starts, and what its waits belong to. */
export class RequestScope extends WaitScope {
  declare readonly request: IncomingMessage
  declare readonly response: ServerResponse
  /** Null for HTTP/2, whose streams have no connection of their own. */
  declare readonly connection: Connection | null
  declare readonly sequence: number
  /** The first byte of the response has left, or is about to. */
  declare begun: boolean
  declare ended: boolean
  /** Its client was answered, or dropped, in place of its handler. */
  declare abandoned: boolean
  /** The status it was given in place of its handler's answer; 0 where its connection was closed instead, null where neither. */
  declare substituteStatus: number | null
  /** Whole milliseconds it had waited before it could be read, as far as that is known. */
  declare queuedMs: number
  /** How it ended, where something other than its handler decided that. */
  declare forcedOutcome: Outcome | null
  /** What it waited for when its time ran out; null before. */
  declare waitsAtTimeout: readonly OpenWait[] | null
  /** What it has begun that has no name; null until there is something. */
  declare unnamed: UnnamedWaits | null
  /** The pattern of its route, e.g. `/users/:id`, where an adapter or framework has told it. */
  declare route: string | null
  /** What counts its queries; null until it asks a database. */
  declare queries: RequestQueries | null
  /** How many queries it may run; null where that is the setting's. */
  declare maxQueriesPerRequest: number | null
  /** Who sees to its deadline. */
  declare watcher: { deadlineChanged(scope: RequestScope): void } | null
  /** Neighbours in the list of requests in flight, which is in order of their start. */
  declare older: RequestScope | null
  declare newer: RequestScope | null
  declare private knownId: string | null

  /** @param startedAt monotonic milliseconds of its acceptance, queueing included */
  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    connection: Connection | null,
    startedAt: number,
    deadline: Deadline,
    sequence: number,
  ) {
    super()
    // All of them here, see `WaitNode`, but for those of `UNTOUCHED`.
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

  /** `X-Request-Id`, or the trace id of `traceparent`, if the client sent a sane one; else a new one. */
  get id(): string {
    this.knownId ??= requestId(this.request.rawHeaders)
    return this.knownId
  }

  /**
   * Gives it another deadline: `limit` from its acceptance, in place of `requestTimeout` or of what its caller asked for. For routes that are
   * known to take long, or must not: a stream of events, a big download, a health check.
   *
   * @param limit e.g. `'10m'`, `'unbounded'` or milliseconds; or what else it may, `{ timeout: '10m', queries: { max: 5 } }`
   * @throws InvalidOptionError for an invalid duration or number of queries
   */
  allow(limit: Duration | Allowance): void {
    const { timeout: length, queries } =
      typeof limit === 'object' && limit !== null ? limit : { timeout: limit, queries: undefined }
    if (queries !== undefined)
      this.maxQueriesPerRequest = readCount('currentRequest().allow', 'queries.max', queries.max, 0)
    if (length === undefined) return
    this.deadline = deadlineIn(readDuration('currentRequest().allow', 'length', length), this.startedAt)
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
 * What hardly any request ever sets stands on the prototype, for all of them: half as many fields are half as much to be written, and to be collected, for each. Those
 * of a request that waits or asks a database are not among them, because one that sets such a field is another kind of object to V8.
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
  forcedOutcome: null,
  waitsAtTimeout: null,
  maxQueriesPerRequest: null,
}
Object.assign(RequestScope.prototype, UNTOUCHED)

/** Waits must leave this much of a request's time, in milliseconds, so that something can be made of their failure. */
function reserveOf(limit: number): number {
  return Math.min(MOST_RESERVE, limit / 20)
}

const MOST_RESERVE = 100

/** What a connection speaks: decides how it is drained and whether last answers can reach it. */
export type ConnectionProtocol = 'http' | 'upgraded' | 'other'

/** The connection a request came on. */
export interface Connection {
  readonly socket: Socket
  /** Row in the connection table, -1 where the table is full. */
  slot: number
  protocol: ConnectionProtocol
  /** The requests on it that have not ended; more than one only when the client pipelines. */
  readonly scopes: RequestScope[]
  /** Monotonic milliseconds of its acceptance or of its last request's start. */
  lastSeen: number
  /** The protocol named in the `Upgrade` header, once upgraded. */
  upgradeProtocol: string | null
  /** Where it stands among the open ones. */
  place: number
}

/** Carries the scope of the request, or of work within it, through awaits, timers, ticks and events. */
export const scopes: AsyncLocalStorage<WaitScope> = waitScopes

/** The request that runs now; undefined outside of any. */
export function runningRequest(): RequestScope | undefined {
  return requestAround(scopes.getStore())
}

/** The request whose code is running, if its client still waits for the response; undefined outside of requests. */
export function unansweredRequest(): RequestScope | undefined {
  const scope = runningRequest()
  return scope === undefined || scope.ended || scope.abandoned ? undefined : scope
}

/** The request that this work is part of. */
function requestAround(work: WaitNode | null | undefined): RequestScope | undefined {
  for (let node = work ?? null; node !== null; node = node.parent) {
    if (isRequest(node)) return node
  }
  return undefined
}

/** By its shape, where it was made by another copy of Punctual, such as the one an app has beside the one that serves it. */
function isRequest(node: WaitNode): node is RequestScope {
  return node instanceof RequestScope || ('sequence' in node && 'waitsAtTimeout' in node)
}

/**
 * Calls `run` in a scope, and returns what it returns. `scopes.run` does the same at three times the price: on its way out it builds a second
 * context, to hold what was there before, where a resource made beforehand just puts that back.
 */
export function runInScope<A, B, R>(scope: RequestScope, run: (scope: RequestScope, a: A, b: B) => R, a: A, b: B): R {
  return new AsyncResource('punctual.request').runInAsyncScope(enter<A, B, R>, undefined, scope, run, a, b)
}

function enter<A, B, R>(scope: RequestScope, run: (scope: RequestScope, a: A, b: B) => R, a: A, b: B): R {
  scopes.enterWith(scope)
  return run(scope, a, b)
}

/** Where a request or a socket keeps what we know of it; symbols, so that no app meets them by accident. */
export const scopeOf: unique symbol = Symbol('punctual.scope')
export const connectionOf: unique symbol = Symbol('punctual.connection')

/** The scope of the request that a response answers: Node's own link leads there, and a property more would cost every response an array. */
export function scopeOfResponse(response: ServerResponse): RequestScope | undefined {
  const scope = (response.req as (IncomingMessage & { readonly [scopeOf]?: RequestScope }) | undefined)?.[scopeOf]
  // An app may make a response of its own for a request, to see what somebody writes to it.
  return scope?.response === response ? scope : undefined
}

/** The requests in flight, the oldest first: a linked list, because a request ends in any order and each costs the same. */
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

  /** The request that is answered with this. For those whose response no longer leads to them; it looks at all of them. */
  findByResponse(response: ServerResponse): RequestScope | undefined {
    for (let scope = this.oldest; scope !== null; scope = scope.newer) if (scope.response === response) return scope
    return undefined
  }

  *[Symbol.iterator](): Generator<RequestScope> {
    let scope = this.oldest
    while (scope !== null) {
      // Read before yielding: whoever iterates may end the request and so take it off the list.
      const { newer } = scope
      yield scope
      scope = newer
    }
  }
}
