import { PunctualError } from '../errors/punctual-error.ts'
import { isThenable } from './is-thenable.ts'

/**
 * The values that Punctual keeps on the global object. An app may have a copy of Punctual of its
 * own beside the one that serves it, and the watchdog evaluates code in a paused main thread: both
 * find these values by registered symbols. The names are an interface between versions: they are
 * added, never reused.
 */
export type ProcessGlobalName =
  /** The end of the boot of this worker, and its readiness. */
  | 'boot'
  /** Writes an event of the toolkit to the JSON log of this worker. */
  | 'jsonLog'
  /** The names of the durable queues that are open in this process. */
  | 'deferred'
  /** Where the modules under measurement report to, with `--boot-profile`. */
  | 'imports'
  /** The toolkit's channel to the arbiter. */
  | 'channel'
  /** The instances of `singleton`, by name. */
  | 'once'
  /** The settings that the counting of queries goes by. */
  | 'queryRules'
  /** Where a connection is reported that was checked out for too long. */
  | 'reportLeak'
  /** What the watchdog asks of a paused main thread. */
  | 'runtime'
  /** Node's timers and clocks, as they were before the app was loaded. */
  | 'timers'
  /** The AsyncLocalStorage that carries the scope of a request. */
  | 'waitScopes'

/** One value of this process, shared by all copies of Punctual in it. */
export class ProcessGlobal<Value> {
  /**
   * A JavaScript expression for the value, for code that is evaluated elsewhere; `undefined` where
   * there is none.
   */
  readonly expression: string
  readonly #key: symbol

  constructor(name: ProcessGlobalName) {
    this.#key = Symbol.for(`punctual.${name}`)
    this.expression = `globalThis[Symbol.for('punctual.${name}')]`
  }

  get(): Value | undefined {
    return (globalThis as { [key: symbol]: Value | undefined })[this.#key]
  }

  /** Not enumerable, so that code that copies or prints the global object does not see it. */
  set(value: Value): void {
    Object.defineProperty(globalThis, this.#key, { value, configurable: true })
  }

  delete(): void {
    Reflect.deleteProperty(globalThis, this.#key)
  }

  getOrCreate(create: () => Value): Value {
    const found = this.get()
    if (found !== undefined) return found
    const value = create()
    this.set(value)
    return value
  }
}

type Instances = Map<string, { value: unknown } | 'being created'>

const instances = new ProcessGlobal<Instances>('once')

/**
 * Returns the one instance of this process with a name: the first call creates it, later calls
 * share it, also from another copy of this package or of the calling module.
 *
 * `create` may return a promise; callers share it while it is pending. A creation that throws or
 * rejects is not kept, and the next call tries again. A name must always mean the same thing,
 * because all callers get what the first `create` returned.
 *
 * @throws PunctualError `PUNCTUAL_USAGE` if `create` asks for the instance that it is creating
 */
export function singleton<T>(name: string, create: () => T): T {
  const all = instances.getOrCreate(() => new Map())
  const found = all.get(name)
  if (found === 'being created') {
    throw new PunctualError(
      'PUNCTUAL_USAGE',
      `singleton("${name}") is used during its own creation; create what it depends on separately`,
      { details: { name } },
    )
  }
  if (found !== undefined) return found.value as T
  all.set(name, 'being created')
  try {
    const value = create()
    const entry = { value }
    all.set(name, entry)
    if (isThenable(value)) {
      value.then(undefined, () => {
        if (all.get(name) === entry) all.delete(name)
      })
    }
    return value
  } catch (error) {
    all.delete(name)
    throw error
  }
}
