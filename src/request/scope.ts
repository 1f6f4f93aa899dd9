import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** One request while it is served. It is what AsyncLocalStorage carries through everything the request starts. */
export class RequestScope {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** Null for HTTP/2, whose streams have no connection of their own. */
  readonly connection: Connection | null
  readonly startedAt: number
  readonly sequence: number
  /** The first byte of the response has left, or is about to. */
  begun = false
  ended = false
  /** Its client was answered, or dropped, in place of its handler. */
  abandoned = false
  /** Neighbours in the list of requests in flight, which is in order of their start. */
  older: RequestScope | null = null
  newer: RequestScope | null = null

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    connection: Connection | null,
    startedAt: number,
    sequence: number,
  ) {
    this.request = request
    this.response = response
    this.connection = connection
    this.startedAt = startedAt
    this.sequence = sequence
  }
}

/** What a connection speaks: decides how it is drained and whether last answers can reach it. */
export type Speech = 'http' | 'upgraded' | 'other'

/** The connection a request came on. */
export interface Connection {
  readonly socket: Socket
  /** Row in the connection table, -1 where the table is full. */
  slot: number
  speech: Speech
  /** The requests on it that have not ended; more than one only when the client pipelines. */
  readonly scopes: RequestScope[]
  /** Monotonic milliseconds of its acceptance or of its last request's start. */
  lastSeen: number
  /** The protocol named in the `Upgrade` header, once upgraded. */
  protocol: string | null
  /** Where it stands among the open ones. */
  place: number
}

/** Carries the scope of the request through awaits, timers, ticks and events. */
export const scopes: AsyncLocalStorage<RequestScope> = new AsyncLocalStorage()

/**
 * Calls `run` in a scope, and returns what it returns. `scopes.run` does the same at three times the price: on its way out it builds a second
 * context, to hold what was there before, where a resource made beforehand just puts that back.
 */
export function inScope<A, B, R>(scope: RequestScope, run: (scope: RequestScope, a: A, b: B) => R, a: A, b: B): R {
  return new AsyncResource('punctual.request').runInAsyncScope(enter<A, B, R>, undefined, scope, run, a, b)
}

function enter<A, B, R>(scope: RequestScope, run: (scope: RequestScope, a: A, b: B) => R, a: A, b: B): R {
  scopes.enterWith(scope)
  return run(scope, a, b)
}

/** Where a request, a response or a socket keeps what we know of it; symbols, so that no app meets them by accident. */
export const scopeOf: unique symbol = Symbol('punctual.scope')
export const connectionOf: unique symbol = Symbol('punctual.connection')

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
