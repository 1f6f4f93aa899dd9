import { ms } from '../resilience/duration.ts'
import type { WaitNode } from '../resilience/wait-node.ts'
import { surroundings } from '../resilience/wait-scope.ts'
import { startWait } from '../resilience/with-timeout.ts'
import type { BatchPlan } from './batch-plan.ts'
import { outermostScope } from './batch-scope.ts'
import { valuesOf } from './batch-values.ts'

/** A key that was asked for, once or more often. */
export interface AskedKey<Key, Value> {
  readonly identity: unknown
  readonly key: Key
  readonly turn: BatchTurn<Key, Value>
  readonly promise: Promise<Value>
  readonly resolve: (value: Value) => void
  readonly reject: (error: unknown) => void
}

/** The keys asked for in one turn of the event loop, from the first call until they are loaded. */
export class BatchTurn<Key, Value> {
  /** The operation whose limit and name its queries bear. */
  readonly operation: object | undefined
  readonly #plan: BatchPlan<Key, Value>
  readonly #ended: (asked: AskedKey<Key, Value>, isLoaded: boolean) => void
  readonly #asked = new Map<unknown, AskedKey<Key, Value>>()
  /** What those who ask are part of. */
  readonly #around = new Set<WaitNode>()
  #isLoading = false

  /** @param ended called for each key, before who asked is told: whether it was loaded, if only to an error of its own, or its load failed as a whole */
  constructor(
    plan: BatchPlan<Key, Value>,
    operation: object | undefined,
    ended: (asked: AskedKey<Key, Value>, isLoaded: boolean) => void,
  ) {
    this.#plan = plan
    this.operation = operation
    this.#ended = ended
  }

  ask(identity: unknown, key: Key, around: WaitNode): AskedKey<Key, Value> {
    this.#around.add(around)
    let asked = this.#asked.get(identity)
    if (asked === undefined) {
      asked = { identity, key, turn: this, ...Promise.withResolvers<Value>() }
      this.#asked.set(identity, asked)
    }
    return asked
  }

  /** How many keys it has. */
  get size(): number {
    return this.#asked.size
  }

  /** Whether its load lasts as long as this can wait for it; from now on, if it has not begun. */
  waitsFor(around: WaitNode): boolean {
    if (!this.#isLoading) this.#around.add(around)
    return this.#around.has(around)
  }

  /** Nobody of those it is loaded for waits any more. */
  get isDeserted(): boolean {
    for (const around of this.#around) {
      if (around.reason === undefined && around.available(around.wheel.now()) > 0) return false
    }
    return true
  }

  /** Begins to load. Never throws: what fails is told to those who asked. */
  load(): void {
    this.#isLoading = true
    const [only] = this.#around
    if (this.#around.size === 1 && only !== undefined) {
      void this.#loadAll(only)
      return
    }
    // Of several, none may end what the others wait for: it is part of the whole request, and ends with the last of them.
    const scope = outermostScope()
    if (scope === undefined) void this.#loadForSeveral()
    else scope.enter(() => void this.#loadForSeveral())
  }

  async #loadForSeveral(): Promise<void> {
    const parent = surroundings()
    if (this.#around.has(parent)) return this.#loadAll(parent)
    const over = new AbortController()
    const left = new Set(this.#around)
    const leave = new AbortController()
    for (const around of this.#around) {
      const given = (): void => {
        left.delete(around)
        if (left.size === 0) over.abort(around.reason)
      }
      if (around.reason !== undefined) given()
      else around.signal.addEventListener('abort', given, { once: true, signal: leave.signal })
    }
    await this.#loadAll(parent, over.signal)
    leave.abort()
  }

  /** One after the other: a request that asks for much must not take every connection of the pool. */
  async #loadAll(parent: WaitNode, signal?: AbortSignal): Promise<void> {
    const asked = [...this.#asked.values()]
    for (let from = 0; from < asked.length; from += this.#plan.max) {
      await this.#loadSome(asked.slice(from, from + this.#plan.max), parent, signal)
    }
  }

  async #loadSome(asked: readonly AskedKey<Key, Value>[], parent: WaitNode, signal?: AbortSignal): Promise<void> {
    const { name, timeout: limit, loadMany } = this.#plan
    const now = parent.wheel.now()
    let latest = Number.NEGATIVE_INFINITY
    for (const around of this.#around) latest = Math.max(latest, around.available(now))
    const keys = asked.map(({ key }) => key)
    try {
      // The time of a parent counts by itself, and is told as that of a deadline then.
      const own = this.#around.has(parent) ? limit : ms(Math.min(limit, latest))
      const given = await startWait(parent, name, own, (wait) => loadMany(keys, wait), { signal })
      for (const [index, value] of valuesOf(this.#plan, keys, given).entries()) {
        const each = asked[index] as AskedKey<Key, Value>
        this.#ended(each, true)
        if (value instanceof Error) each.reject(value)
        else each.resolve(value)
      }
    } catch (error) {
      for (const each of asked) {
        this.#ended(each, false)
        each.reject(error)
      }
    }
  }
}
