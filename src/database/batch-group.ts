import { isAbortReason } from '../wait/abort-reason.ts'
import type { WaitNode } from '../wait/wait-node.ts'
import { surroundings } from '../wait/wait-scope.ts'
import type { BatchPlan } from './batch-plan.ts'
import { type AskedKey, BatchTurn } from './batch-turn.ts'
import { currentOperation } from './query-limit.ts'

/** A request may last as long as a WebSocket does; beyond so many keys those loaded first are forgotten. */
const MOST_KEPT = 10_000

/** What one request, or everything outside of requests, loads by one batch. */
export class BatchGroup<Key, Value> {
  readonly #plan: BatchPlan<Key, Value>
  readonly #kept: Map<unknown, AskedKey<Key, Value>> | null
  #collecting: BatchTurn<Key, Value> | null = null

  /** @param keeps whether results are kept beyond the turn */
  constructor(plan: BatchPlan<Key, Value>, keeps: boolean) {
    this.#plan = plan
    this.#kept = keeps ? new Map() : null
  }

  load(key: Key): Promise<Value> {
    return this.#loadFor(surroundings(), this.#plan.identityOf(key), key)
  }

  clear(...key: [] | [key: Key]): void {
    if (key.length === 0) this.#kept?.clear()
    else this.#kept?.delete(this.#plan.identityOf(key[0] as Key))
  }

  /** @param around what the caller is part of */
  #loadFor(around: WaitNode, identity: unknown, key: Key): Promise<Value> {
    const kept = this.#kept?.get(identity)
    if (kept === undefined) return this.#ask(around, identity, key)
    const { turn, promise } = kept
    if (turn.waitsFor(around)) return promise
    // It is being loaded for others, who may have less time or be given up; the caller must not fail with them.
    return promise.catch((error: unknown) => {
      if (isAbortReason(error) && turn.isDeserted) return this.#loadFor(around, identity, key)
      throw error
    })
  }

  #ask(around: WaitNode, identity: unknown, key: Key): Promise<Value> {
    // An operation's limit holds for the queries begun in it, and must not come to hold for those of others.
    const operation = currentOperation()
    let turn = this.#collecting
    if (turn === null || turn.operation !== operation) turn = this.#collect(operation)
    const asked = turn.ask(identity, key, around)
    if (this.#kept !== null) this.#keep(this.#kept, asked)
    return asked.promise
  }

  #collect(operation: object | undefined): BatchTurn<Key, Value> {
    const turn = new BatchTurn<Key, Value>(this.#plan, operation, (asked) => {
      // Somebody may have cleared it, and asked again.
      if (this.#kept?.get(asked.identity) === asked) this.#kept.delete(asked.identity)
    })
    this.#collecting = turn
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
        if (this.#collecting === turn) this.#collecting = null
        turn.load()
      }),
    )
  }

  #keep(kept: Map<unknown, AskedKey<Key, Value>>, asked: AskedKey<Key, Value>): void {
    kept.set(asked.identity, asked)
    if (kept.size <= MOST_KEPT) return
    for (const oldest of kept.keys()) {
      kept.delete(oldest)
      return
    }
  }
}
