import { currentOperation } from '../database/query-timeout.ts'
import { isAbortReason } from '../resilience/abort-reason.ts'
import { asMicrotask } from '../resilience/clock.ts'
import type { WaitNode } from '../resilience/wait-node.ts'
import { currentParent } from '../resilience/wait-scope.ts'
import { BatchLoad, type RequestedKey } from './batch-load.ts'
import type { BatchPlan } from './batch-results.ts'

/**
 * The most values kept. A request may last as long as a WebSocket; the oldest values are dropped.
 */
const MAX_KEPT = 10_000

/** Values by the `withQueryTimeout` that the caller is in; undefined outside of any. */
type ByOperation<Of> = Map<object | undefined, Of>

/**
 * The loads of one batch in one request, or outside of all requests. Each `withQueryTimeout` loads
 * separately, because its timeout applies to its own queries only; loaded values are shared.
 */
export class BatchGroup<Key, Value> {
  readonly #plan: BatchPlan<Key, Value>
  /** Loaded values; null if nothing is kept beyond a turn. */
  readonly #kept: Map<unknown, Promise<Value>> | null
  /** Keys that are loading and whose values will be kept. */
  readonly #loading: ByOperation<Map<unknown, RequestedKey<Key, Value>>> = new Map()
  readonly #collecting: ByOperation<BatchLoad<Key, Value>> = new Map()

  /** @param keeps whether values are kept beyond the turn */
  constructor(plan: BatchPlan<Key, Value>, keeps: boolean) {
    this.#plan = plan
    this.#kept = keeps ? new Map() : null
  }

  load(key: Key): Promise<Value> {
    return this.#loadFor(currentParent(), this.#plan.identityOf(key), key)
  }

  clear(...key: [] | [key: Key]): void {
    for (const found of [this.#kept, ...this.#loading.values()]) {
      if (key.length === 0) found?.clear()
      else found?.delete(this.#plan.identityOf(key[0] as Key))
    }
  }

  /** @param caller the wait or scope that the caller is part of */
  #loadFor(caller: WaitNode, identity: unknown, key: Key): Promise<Value> {
    const kept = this.#kept?.get(identity)
    if (kept !== undefined) return kept
    const operation = currentOperation()
    const requested = this.#loading.get(operation)?.get(identity)
    if (requested === undefined) return this.#request(caller, operation, identity, key)
    const { load, promise } = requested
    if (load.waitsFor(caller)) return promise
    // It loads for other callers. If they give up or have less time, this caller loads again.
    return promise.catch((error: unknown) => {
      if (isAbortReason(error) && load.isDeserted) return this.#loadFor(caller, identity, key)
      throw error
    })
  }

  #request(caller: WaitNode, operation: object | undefined, identity: unknown, key: Key): Promise<Value> {
    const load = this.#collecting.get(operation) ?? this.#collect(operation)
    const requested = load.request(identity, key, caller)
    if (this.#kept !== null) {
      const loading = this.#loading.get(operation) ?? new Map()
      this.#loading.set(operation, loading.set(identity, requested))
    }
    return requested.promise
  }

  #collect(operation: object | undefined): BatchLoad<Key, Value> {
    const load = new BatchLoad<Key, Value>(this.#plan, operation, (requested, isLoaded) => {
      this.#settled(requested, isLoaded)
    })
    this.#collecting.set(operation, load)
    this.#startWhenQuiet(load, 0)
    return load
  }

  /**
   * Starts the load after a round of microtasks and ticks that added no key. A tick runs when no
   * microtask is left. The tick is queued from a microtask, after the microtasks queued so far;
   * ticks that run before it may queue microtasks of their own, hence the next round.
   */
  #startWhenQuiet(load: BatchLoad<Key, Value>, seen: number): void {
    asMicrotask(() =>
      process.nextTick(() => {
        if (load.size > seen) {
          this.#startWhenQuiet(load, load.size)
          return
        }
        this.#collecting.delete(load.operation)
        load.start()
      }),
    )
  }

  #settled({ load: { operation }, identity, promise }: RequestedKey<Key, Value>, isLoaded: boolean): void {
    const loading = this.#loading.get(operation)
    // The key may have been cleared and requested again.
    if (loading?.get(identity)?.promise !== promise) return
    loading.delete(identity)
    if (loading.size === 0) this.#loading.delete(operation)
    if (isLoaded) this.#keep(identity, promise)
  }

  #keep(identity: unknown, promise: Promise<Value>): void {
    const kept = this.#kept?.set(identity, promise)
    if (kept === undefined || kept.size <= MAX_KEPT) return
    for (const oldest of kept.keys()) {
      kept.delete(oldest)
      return
    }
  }
}
