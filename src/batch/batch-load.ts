import { ms } from '../resilience/duration.ts'
import type { WaitNode, WaitsHolder } from '../resilience/wait-node.ts'
import { currentParent, currentWaits, type WaitScope } from '../resilience/wait-scope.ts'
import { startWait } from '../resilience/with-timeout.ts'
import { type BatchPlan, resultsOf } from './batch-results.ts'

/** A key that callers requested, once or several times. */
export interface RequestedKey<Key, Value> {
  readonly identity: unknown
  readonly key: Key
  readonly load: BatchLoad<Key, Value>
  readonly promise: Promise<Value>
  readonly resolve: (value: Value) => void
  readonly reject: (error: unknown) => void
}

/** Collects the keys requested in one turn of the event loop, then loads them. */
export class BatchLoad<Key, Value> {
  /** The `withQueryTimeout` that its queries belong to. */
  readonly operation: object | undefined
  readonly #plan: BatchPlan<Key, Value>
  readonly #onSettled: (requested: RequestedKey<Key, Value>, isLoaded: boolean) => void
  readonly #requested = new Map<unknown, RequestedKey<Key, Value>>()
  /** The waits and scopes that the callers are part of. */
  readonly #callers = new Set<WaitNode>()
  #hasStarted = false

  /**
   * @param onSettled called for each key before its callers get the result. `isLoaded` is false
   *   when the whole load failed, and true when the key got a value or an error of its own.
   */
  constructor(
    plan: BatchPlan<Key, Value>,
    operation: object | undefined,
    onSettled: (requested: RequestedKey<Key, Value>, isLoaded: boolean) => void,
  ) {
    this.#plan = plan
    this.operation = operation
    this.#onSettled = onSettled
  }

  request(identity: unknown, key: Key, caller: WaitNode): RequestedKey<Key, Value> {
    this.#callers.add(caller)
    let requested = this.#requested.get(identity)
    if (requested === undefined) {
      requested = { identity, key, load: this, ...Promise.withResolvers<Value>() }
      this.#requested.set(identity, requested)
    }
    return requested
  }

  /** The number of keys. */
  get size(): number {
    return this.#requested.size
  }

  /**
   * Whether the load lasts as long as this caller can wait. Adds the caller while keys are
   * collected.
   */
  waitsFor(caller: WaitNode): boolean {
    if (!this.#hasStarted) this.#callers.add(caller)
    return this.#callers.has(caller)
  }

  /** Whether all callers have given up or run out of time. */
  get isDeserted(): boolean {
    for (const caller of this.#callers) {
      if (caller.reason === undefined && caller.available(caller.wheel.now()) > 0) return false
    }
    return true
  }

  /** Starts loading. Never throws: failures go to the callers. */
  start(): void {
    this.#hasStarted = true
    const [only] = this.#callers
    if (this.#callers.size === 1 && only !== undefined) {
      void this.#loadAll(only)
      return
    }
    // No single caller may end a load that others wait for. It becomes part of the whole request,
    // and ends with the last of its callers.
    const scope = outermostScope()
    if (scope === undefined) void this.#loadForSeveral()
    else scope.enter(() => void this.#loadForSeveral())
  }

  async #loadForSeveral(): Promise<void> {
    const parent = currentParent()
    if (this.#callers.has(parent)) return this.#loadAll(parent)
    const abandoned = new AbortController()
    const waiting = new Set(this.#callers)
    const settled = new AbortController()
    for (const caller of this.#callers) {
      const onGivenUp = (): void => {
        waiting.delete(caller)
        if (waiting.size === 0) abandoned.abort(caller.reason)
      }
      if (caller.reason !== undefined) onGivenUp()
      else caller.signal.addEventListener('abort', onGivenUp, { once: true, signal: settled.signal })
    }
    await this.#loadAll(parent, abandoned.signal)
    settled.abort()
  }

  /**
   * One call of `loadMany` after the other, so that a request does not take every connection of a
   * pool.
   */
  async #loadAll(parent: WaitNode, signal?: AbortSignal): Promise<void> {
    const requested = [...this.#requested.values()]
    for (let from = 0; from < requested.length; from += this.#plan.max) {
      await this.#loadSome(requested.slice(from, from + this.#plan.max), parent, signal)
    }
  }

  async #loadSome(
    requested: readonly RequestedKey<Key, Value>[],
    parent: WaitNode,
    signal?: AbortSignal,
  ): Promise<void> {
    const { name, timeout, loadMany } = this.#plan
    const now = parent.wheel.now()
    let longest = Number.NEGATIVE_INFINITY
    for (const caller of this.#callers) longest = Math.max(longest, caller.available(now))
    const keys = requested.map(({ key }) => key)
    try {
      // The wait itself applies the deadline of its parent, and reports a timeout as that deadline.
      const own = this.#callers.has(parent) ? timeout : ms(Math.min(timeout, longest))
      const result = await startWait(parent, name, own, (wait) => loadMany(keys, wait), { signal })
      for (const [index, value] of resultsOf(this.#plan, keys, result).entries()) {
        const each = requested[index] as RequestedKey<Key, Value>
        this.#onSettled(each, true)
        if (value instanceof Error) each.reject(value)
        else each.resolve(value)
      }
    } catch (error) {
      for (const each of requested) {
        this.#onSettled(each, false)
        each.reject(error)
      }
    }
  }
}

/**
 * The current request, also inside a `withDeadline` of it; outside of requests the outermost
 * `withDeadline`.
 */
export function outermostScope(): WaitsHolder | undefined {
  let outermost: WaitsHolder | undefined
  for (let node: WaitNode | null = currentWaits() ?? null; node !== null; node = node.parent) {
    // A value kept in a request that is over would never be loaded again.
    if (node.home !== null && !(node.home as WaitScope).over) outermost = node.home
  }
  return outermost
}
