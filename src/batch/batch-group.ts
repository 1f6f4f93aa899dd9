import { currentOperation } from '../database/query-timeout.ts'
import { isAbortReason } from '../resilience/abort-reason.ts'
import type { WaitNode } from '../resilience/wait-node.ts'
import { surroundings } from '../resilience/wait-scope.ts'
import type { BatchPlan } from './batch-plan.ts'
import { type AskedKey, BatchTurn } from './batch-turn.ts'

/** A request may last as long as a WebSocket does; beyond so many keys those loaded first are forgotten. */
const MOST_KEPT = 10_000

/** By the operation they are part of; undefined: none. */
type ByOperation<Of> = Map<object | undefined, Of>

/**
 * What one request, or everything outside of requests, loads by one batch. An operation's limit holds for the queries begun in it, and must not come to hold
 * for those of others: each loads for itself. What has been loaded is there for all.
 */
export class BatchGroup<Key, Value> {
  readonly #plan: BatchPlan<Key, Value>
  /** What was loaded; null where each turn stands alone. */
  readonly #kept: Map<unknown, Promise<Value>> | null
  /** What is being loaded, and is to be kept. */
  readonly #asked: ByOperation<Map<unknown, AskedKey<Key, Value>>> = new Map()
  readonly #collecting: ByOperation<BatchTurn<Key, Value>> = new Map()

  /** @param keeps whether results are kept beyond the turn */
  constructor(plan: BatchPlan<Key, Value>, keeps: boolean) {
    this.#plan = plan
    this.#kept = keeps ? new Map() : null
  }

  load(key: Key): Promise<Value> {
    return this.#loadFor(surroundings(), this.#plan.identityOf(key), key)
  }

  clear(...key: [] | [key: Key]): void {
    for (const found of [this.#kept, ...this.#asked.values()]) {
      if (key.length === 0) found?.clear()
      else found?.delete(this.#plan.identityOf(key[0] as Key))
    }
  }

  /** @param around what the caller is part of */
  #loadFor(around: WaitNode, identity: unknown, key: Key): Promise<Value> {
    const kept = this.#kept?.get(identity)
    if (kept !== undefined) return kept
    const operation = currentOperation()
    const asked = this.#asked.get(operation)?.get(identity)
    if (asked === undefined) return this.#ask(around, operation, identity, key)
    const { turn, promise } = asked
    if (turn.waitsFor(around)) return promise
    // It is being loaded for others, who may have less time or be given up; the caller must not fail with them.
    return promise.catch((error: unknown) => {
      if (isAbortReason(error) && turn.isDeserted) return this.#loadFor(around, identity, key)
      throw error
    })
  }

  #ask(around: WaitNode, operation: object | undefined, identity: unknown, key: Key): Promise<Value> {
    const turn = this.#collecting.get(operation) ?? this.#collect(operation)
    const asked = turn.ask(identity, key, around)
    if (this.#kept !== null) {
      const ofOperation = this.#asked.get(operation) ?? new Map()
      this.#asked.set(operation, ofOperation.set(identity, asked))
    }
    return asked.promise
  }

  #collect(operation: object | undefined): BatchTurn<Key, Value> {
    const turn = new BatchTurn<Key, Value>(this.#plan, operation, (asked, isLoaded) => this.#ended(asked, isLoaded))
    this.#collecting.set(operation, turn)
    this.#untilQuiet(turn, 0)
    return turn
  }

  /**
   * Loads when a round of microtasks and ticks has brought no further key. Ticks run when no microtask is left; but a tick of this very moment would come
   * before the microtasks that are queued by now, and a tick that was queued before brings microtasks of its own.
   */
  #untilQuiet(turn: BatchTurn<Key, Value>, seen: number): void {
    queueMicrotask(() =>
      process.nextTick(() => {
        if (turn.size > seen) {
          this.#untilQuiet(turn, turn.size)
          return
        }
        this.#collecting.delete(turn.operation)
        turn.load()
      }),
    )
  }

  #ended({ turn: { operation }, identity, promise }: AskedKey<Key, Value>, isLoaded: boolean): void {
    const asked = this.#asked.get(operation)
    // Somebody may have cleared it, and asked again.
    if (asked?.get(identity)?.promise !== promise) return
    asked.delete(identity)
    if (asked.size === 0) this.#asked.delete(operation)
    if (isLoaded) this.#keep(identity, promise)
  }

  #keep(identity: unknown, promise: Promise<Value>): void {
    const kept = this.#kept?.set(identity, promise)
    if (kept === undefined || kept.size <= MOST_KEPT) return
    for (const oldest of kept.keys()) {
      kept.delete(oldest)
      return
    }
  }
}
