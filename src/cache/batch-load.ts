import type { Milliseconds } from '../resilience/duration.ts'
import type { TimerWheel } from '../resilience/timer-wheel.ts'
import type { WaitContext } from '../resilience/wait-node.ts'
import { withDeadline } from '../resilience/with-deadline.ts'
import { asNobody } from './nobody.ts'

export interface BatchLoadOptions<Key, Value> {
  readonly name: string
  /** In milliseconds. */
  readonly limit: Milliseconds
  readonly wheel: TimerWheel | undefined
  readonly load: (keys: readonly Key[], wait: WaitContext) => Promise<readonly (Value | Error)[]>
}

/**
 * The keys of one `getMany` that neither tier has, loaded together: by one call, once it is known of each of them whether it is to be loaded. It runs in a
 * scope of its own, since any of the keys may be given up while somebody waits for another.
 */
export class BatchLoad<Key, Value> {
  readonly #options: BatchLoadOptions<Key, Value>
  readonly #wanted = new Set<Want<Key, Value>>()
  readonly #giveUp = new AbortController()
  #undecided: number

  /** @param undecided how many keys will call `want` or `decline`, each once */
  constructor(undecided: number, options: BatchLoadOptions<Key, Value>) {
    this.#undecided = undecided
    this.#options = options
  }

  /** Whether it has not been sent off yet. */
  get isOpen(): boolean {
    return this.#undecided > 0
  }

  /** This key need not be loaded, or not together with the others. */
  decline(): void {
    this.#decide()
  }

  /** @param signal aborted when nobody waits for this key any more; the load is given up when that holds for all its keys */
  want(key: Key, signal: AbortSignal): Promise<Value> {
    return new Promise((resolve, reject) => {
      const want = { key, resolve, reject }
      const leave = (): void => {
        reject(signal.reason)
        this.#wanted.delete(want)
        if (this.#wanted.size === 0 && !this.isOpen) this.#giveUp.abort(signal.reason)
      }
      this.#wanted.add(want)
      if (signal.aborted) leave()
      else signal.addEventListener('abort', leave, { once: true })
      this.#decide()
    })
  }

  #decide(): void {
    if (--this.#undecided === 0 && this.#wanted.size > 0) this.#run([...this.#wanted])
  }

  #run(wanted: readonly Want<Key, Value>[]): void {
    const { name, limit, wheel, load } = this.#options
    const options = {
      parent: null,
      signal: this.#giveUp.signal,
      ...(wheel === undefined ? {} : { wheel }),
    }
    const keys = wanted.map(({ key }) => key)
    asNobody(() => withDeadline(name, limit, (scope) => load(keys, scope), options)).then(
      (values) => {
        for (const [index, { resolve, reject }] of wanted.entries()) {
          const value = values[index] as Value | Error
          if (value instanceof Error) reject(value)
          else resolve(value)
        }
      },
      (error: unknown) => {
        for (const { reject } of wanted) reject(error)
      },
    )
  }
}

interface Want<Key, Value> {
  readonly key: Key
  readonly resolve: (value: Value) => void
  readonly reject: (error: unknown) => void
}
