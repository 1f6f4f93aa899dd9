/**
 * The values that Punctual keeps on the global object. An app may have a copy of Punctual of its
 * own beside the one that serves it, and the watchdog evaluates code in a paused main thread: both
 * find these values by registered symbols. The names are an interface between versions: they are
 * added, never reused.
 */
export type ProcessGlobalName =
  /** The end of the boot of this worker, and its readiness. */
  | 'boot'
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
