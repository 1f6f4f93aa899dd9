import { checkOptions, type OptionNames } from '../errors/check-options.ts'
import { InvalidOptionError } from '../errors/punctual-error.ts'
import { RUNTIME_TOPIC, type RuntimeToArbiter, type RuntimeToWorker } from '../ipc/messages.ts'
import { type WorkerChannel, workerChannel } from '../ipc/worker-channel.ts'
import { isSecretName } from '../redaction/redaction.ts'
import { type Duration, formatDuration, type Milliseconds, readDuration } from '../resilience/duration.ts'
import { durationKind } from '../settings/number-kinds.ts'

export interface RuntimeValueOptions<T> {
  /** The app's own value: in effect unless another is set. */
  readonly value: T
  /** Parses what an operator writes; throws an error whose message says what is allowed. */
  readonly read: (text: string) => T
  /** Formats a value so that `read` returns the same value. */
  readonly write: (value: T) => string
  /** Called with the new value after it was changed at runtime. */
  readonly onChange?: (value: T) => void
  /**
   * Whether the value must not be shown: no log, report or command contains it. Default: true for a
   * name that looks like that of a secret (`mail.apiKey`), else false.
   */
  readonly secret?: boolean
}

/** A value that `punctual set` changes in every worker while it runs. */
export interface RuntimeValue<T> {
  readonly name: string
  /** The value in effect. A plain field: reading it has no cost. */
  readonly value: T
  /** Withdraws the name, so that it can no longer be set; the value stays as it is. */
  close(): void
}

const OPTIONS: OptionNames<RuntimeValueOptions<unknown>> = {
  value: true,
  read: true,
  write: true,
  onChange: true,
  secret: true,
}

const MAX_NAME_LENGTH = 200

/**
 * Declares a value by a name with a dot, such as `cache.auth:user.ttl`, so that `punctual set` can
 * change it while the app runs. A value that is already set applies from the start. Outside
 * Punctual the value is always the app's own.
 *
 * @param name the thing, a dot and the value: `cache.users.ttl`
 * @throws InvalidOptionError for a name of another form
 */
export function runtimeValue<T>(name: string, options: RuntimeValueOptions<T>): RuntimeValue<T> {
  if (!/^[a-z][\w-]*\.\S/i.test(name) || /\p{Cc}/u.test(name) || name.length > MAX_NAME_LENGTH) {
    throw new InvalidOptionError(
      'runtimeValue',
      'name',
      name.slice(0, MAX_NAME_LENGTH),
      `must be a thing, a dot and a value ("cache.users.ttl"), at most ${MAX_NAME_LENGTH} characters`,
    )
  }
  checkOptions(`runtimeValue ${JSON.stringify(name)}`, options, OPTIONS)
  const channel = workerChannel()
  const declared = new Declared(name, options)
  if (channel !== null) registryOf(channel).declare(declared)
  return declared
}

export interface RuntimeTimeoutOptions {
  /** Called with the new timeout after it was changed at runtime. */
  readonly onChange?: (timeout: Milliseconds) => void
}

const duration = durationKind({ zero: true, unbounded: true })

/**
 * A duration in milliseconds that `punctual set <name> <duration>` changes in every worker.
 *
 * @param name the thing, a dot and the value: `auth.lookup`
 * @param timeout the app's own value: `'5s'`, `'unbounded'`, or a number of milliseconds
 * @throws InvalidOptionError for a name of another form, or an invalid duration
 */
export function runtimeTimeout(
  name: string,
  timeout: Duration,
  options: RuntimeTimeoutOptions = {},
): RuntimeValue<Milliseconds> {
  checkOptions(`runtimeTimeout ${JSON.stringify(name)}`, options, { onChange: true })
  return runtimeValue(name, {
    ...options,
    value: readDuration(`the runtime value ${JSON.stringify(name)}`, 'timeout', timeout),
    read: readTimeout,
    write: formatDuration,
  })
}

function readTimeout(text: string): Milliseconds {
  const parsed = duration.parse(text, { cwd: '.', isTerminal: false, parallelism: 1 })
  if (parsed.ok) return parsed.value
  throw new RangeError(`${parsed.what}; ${parsed.advice}`)
}

class Declared<T> implements RuntimeValue<T> {
  readonly name: string
  value: T
  readonly #options: RuntimeValueOptions<T>
  #withdraw: () => void = () => {}

  constructor(name: string, options: RuntimeValueOptions<T>) {
    this.name = name
    this.value = options.value
    this.#options = options
  }

  get isSecret(): boolean {
    return this.#options.secret ?? isSecretName(this.name)
  }

  get text(): string {
    return this.#options.write(this.value)
  }

  /** The app's own value, in effect unless another is set. */
  get standard(): string {
    return this.#options.write(this.#options.value)
  }

  /** The text as it would be formatted. Throws if it is not allowed. */
  check(text: string): string {
    return this.#options.write(this.#options.read(text))
  }

  /** Sets the value; null restores the app's own. */
  set(text: string | null): void {
    this.value = text === null ? this.#options.value : this.#options.read(text)
  }

  notify(): void {
    this.#options.onChange?.(this.value)
  }

  /** Called once, when it is declared. */
  onClose(withdraw: () => void): void {
    this.#withdraw = withdraw
  }

  close(): void {
    this.#withdraw()
    this.#withdraw = () => {}
  }
}

/**
 * The runtime values of this process. Several values of one name are one value for the arbiter: all
 * accept a new value, or none.
 */
class Registry {
  readonly #channel: WorkerChannel
  readonly #set: Map<string, string>
  readonly #declared = new Map<string, Set<Declared<unknown>>>()

  constructor(channel: WorkerChannel) {
    this.#channel = channel
    this.#set = new Map(Object.entries(channel.set ?? {}))
    channel.subscribe(RUNTIME_TOPIC, (message) => this.#onMessage(message as RuntimeToWorker))
  }

  declare<T>(declared: Declared<T>): void {
    const { name } = declared
    const text = this.#set.get(name)
    let refused: string | null = null
    if (text !== undefined) {
      try {
        declared.set(text)
      } catch (error) {
        refused = messageOf(error)
      }
    }
    const namesakes = this.#declared.get(name) ?? new Set()
    this.#declared.set(name, namesakes.add(declared as Declared<unknown>))
    declared.onClose(() => this.#withdraw(declared as Declared<unknown>))
    if (namesakes.size === 1 || refused !== null) {
      const { text: value, standard, isSecret: secret } = declared
      this.#send({ type: 'declare', name, value, standard, secret, refused })
    }
  }

  #withdraw(declared: Declared<unknown>): void {
    const namesakes = this.#declared.get(declared.name)
    namesakes?.delete(declared)
    if (namesakes?.size !== 0) return
    this.#declared.delete(declared.name)
    this.#send({ type: 'withdraw', name: declared.name })
  }

  #onMessage(message: RuntimeToWorker): void {
    const { type, ask, name } = message
    const namesakes = [...(this.#declared.get(name) ?? [])]
    const [first] = namesakes
    // Another copy of the package in this process may have declared it.
    if (first === undefined) return
    try {
      const text = type === 'unset' ? null : message.text
      let value = first.standard
      if (text !== null) for (const one of namesakes) value = one.check(text)
      if (type !== 'check') this.#change(name, namesakes, text)
      this.#send({ type: 'answer', ask, ok: true, value })
    } catch (error) {
      this.#send({ type: 'answer', ask, ok: false, why: messageOf(error) })
    }
  }

  #change(name: string, namesakes: readonly Declared<unknown>[], text: string | null): void {
    if (text === null) this.#set.delete(name)
    else this.#set.set(name, text)
    // All values change before the first listener runs: a listener that throws affects none of
    // them.
    for (const one of namesakes) one.set(text)
    for (const one of namesakes) one.notify()
  }

  #send(message: RuntimeToArbiter): void {
    this.#channel.send(RUNTIME_TOPIC, message)
  }
}

const registries = new WeakMap<WorkerChannel, Registry>()

function registryOf(channel: WorkerChannel): Registry {
  const known = registries.get(channel)
  if (known !== undefined) return known
  const registry = new Registry(channel)
  registries.set(channel, registry)
  return registry
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
