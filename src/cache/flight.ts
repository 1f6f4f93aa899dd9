import { AsyncResource } from 'node:async_hooks'
import { SupersededError } from '../resilience/abort-reason.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import type { TimerWheel } from '../resilience/timer-wheel.ts'
import type { WaitContext } from '../resilience/wait-node.ts'
import type { WaitScope } from '../resilience/wait-scope.ts'
import type { WaitRecord } from '../resilience/waits.ts'
import { withDeadline } from '../resilience/with-deadline.ts'
import type { CacheEntry } from './memory-tier.ts'

const outsideContext = new AsyncResource('PunctualCacheLoad')

interface LoadOptions {
  readonly name: string
  /** Of the whole load, in milliseconds. */
  readonly timeout: Milliseconds
  readonly wheel: TimerWheel | undefined
}

/**
 * Runs a load in a scope of its own and outside of any request, because callers of several requests
 * may share it. Its async context is that in which this file was loaded.
 */
function runLoad<Result>(
  { name, timeout, wheel }: LoadOptions,
  signal: AbortSignal,
  work: (scope: WaitScope) => Promise<Result>,
  onResult: (result: Result) => void,
  onError: (error: unknown) => void,
): void {
  const options = { parent: null, signal, ...(wheel === undefined ? {} : { wheel }) }
  outsideContext.runInAsyncScope(() => void withDeadline(name, timeout, work, options).then(onResult, onError))
}

export interface FlightOptions extends LoadOptions {
  /** Continues without callers. */
  readonly background: boolean
  /**
   * Called once, when the load has ended and before its callers continue; with its error, if any.
   */
  readonly onEnd: (error: unknown) => void
}

/** A caller that waits for a flight. */
interface Caller {
  readonly resolve: (entry: CacheEntry) => void
  readonly reject: (error: unknown) => void
  /** Stops listening to the signal of the caller. */
  readonly unlisten: () => void
}

/**
 * One load, shared by any number of callers. Each caller keeps its own deadline and leaves when it
 * times out or its client disconnects. When the last one leaves, the load is cancelled.
 */
export class Flight {
  readonly #options: FlightOptions
  readonly #callers = new Set<Caller>()
  readonly #controller = new AbortController()
  #background: boolean
  #result: Promise<CacheEntry> | null = null
  /** The scope of the load; null before it starts. */
  #scope: WaitScope | null = null
  /** It was invalidated: only the callers it has get the result, which is not kept. */
  isDetached = false

  constructor(options: FlightOptions) {
    this.#options = options
    this.#background = options.background
  }

  /** All callers have left, and the load is cancelled. */
  get isCancelled(): boolean {
    return this.#controller.signal.aborted
  }

  start(work: (scope: WaitScope) => Promise<CacheEntry>): void {
    runLoad(
      this.#options,
      this.#controller.signal,
      (scope) => {
        this.#scope = scope
        return work(scope)
      },
      (entry) => this.#end(Promise.resolve(entry), undefined),
      (error) => this.#end(Promise.reject(error), error ?? new Error('rejected without an error')),
    )
  }

  /** The waits of its load that were pending when it timed out. */
  get unfinishedWaits(): readonly WaitRecord[] {
    const recorded = this.#scope?.waits.recorded ?? []
    return recorded.filter(({ outcome }) => outcome !== 'ok' && outcome !== 'failed')
  }

  /** Resolves for the callers it has, and continues to load for later ones. */
  resolveEarly(entry: CacheEntry): void {
    this.#background = true
    for (const caller of this.#takeCallers()) caller.resolve(entry)
  }

  /** Waits for the result as part of `wait`. Rejects with the reason when that is given up. */
  join(wait: WaitContext): Promise<CacheEntry> {
    if (this.#result !== null) return this.#result
    return new Promise((resolve, reject) => {
      const { signal } = wait
      const leave = (): void => {
        if (!this.#callers.delete(caller)) return
        reject(signal.reason)
        if (this.#callers.size === 0 && !this.#background) this.#cancel()
      }
      const caller: Caller = { resolve, reject, unlisten: () => signal.removeEventListener('abort', leave) }
      this.#callers.add(caller)
      if (signal.aborted) leave()
      else signal.addEventListener('abort', leave, { once: true })
    })
  }

  #cancel(): void {
    this.#controller.abort(new SupersededError(`all callers of "${this.#options.name}" have left`))
  }

  #end(result: Promise<CacheEntry>, error: unknown): void {
    this.#result = result
    this.#options.onEnd(error)
    const callers = this.#takeCallers()
    result.then(
      (entry) => {
        for (const caller of callers) caller.resolve(entry)
      },
      (error: unknown) => {
        for (const caller of callers) caller.reject(error)
      },
    )
  }

  #takeCallers(): readonly Caller[] {
    const callers = [...this.#callers]
    this.#callers.clear()
    for (const caller of callers) caller.unlisten()
    return callers
  }
}

export interface BatchLoadOptions<Key, Value> extends LoadOptions {
  readonly load: (keys: readonly Key[], wait: WaitContext) => Promise<readonly (Value | Error)[]>
}

interface WantedKey<Key, Value> {
  readonly key: Key
  readonly resolve: (value: Value) => void
  readonly reject: (error: unknown) => void
}

/**
 * Loads the missing keys of one `getMany` with one call, when each of them is known to be wanted or
 * not. Like a flight it has a scope of its own, because callers of other requests may join its
 * keys.
 */
export class BatchLoad<Key, Value> {
  readonly #options: BatchLoadOptions<Key, Value>
  readonly #wanted = new Set<WantedKey<Key, Value>>()
  readonly #controller = new AbortController()
  #undecided: number

  /** @param undecided how many keys will call `want` or `decline`, each once */
  constructor(undecided: number, options: BatchLoadOptions<Key, Value>) {
    this.#undecided = undecided
    this.#options = options
  }

  /** Whether it has not started yet. */
  get isOpen(): boolean {
    return this.#undecided > 0
  }

  /** Leaves a key out: it need not be loaded, or is loaded alone. */
  decline(): void {
    this.#decide()
  }

  /** @param signal aborts this key; the load is cancelled when all its keys are aborted */
  want(key: Key, signal: AbortSignal): Promise<Value> {
    return new Promise((resolve, reject) => {
      const wanted = { key, resolve, reject }
      const leave = (): void => {
        reject(signal.reason)
        this.#wanted.delete(wanted)
        if (this.#wanted.size === 0 && !this.isOpen) this.#controller.abort(signal.reason)
      }
      this.#wanted.add(wanted)
      if (signal.aborted) leave()
      else signal.addEventListener('abort', leave, { once: true })
      this.#decide()
    })
  }

  #decide(): void {
    if (--this.#undecided === 0 && this.#wanted.size > 0) this.#run([...this.#wanted])
  }

  #run(wanted: readonly WantedKey<Key, Value>[]): void {
    const keys = wanted.map(({ key }) => key)
    runLoad(
      this.#options,
      this.#controller.signal,
      (scope) => this.#options.load(keys, scope),
      (values) => {
        for (const [index, { resolve, reject }] of wanted.entries()) {
          const value = values[index] as Value | Error
          if (value instanceof Error) reject(value)
          else resolve(value)
        }
      },
      (error) => {
        for (const { reject } of wanted) reject(error)
      },
    )
  }
}
