import { InvalidOptionError } from '../errors/invalid-option-error.ts'
import { RUNTIME_TOPIC, type RuntimeToArbiter, type RuntimeToWorker } from '../ipc/messages.ts'
import { type WorkerChannel, workerChannel } from '../ipc/worker-channel.ts'

export interface RuntimeValueOptions<T> {
  /** In force until somebody sets another, and again when that is taken back. */
  readonly value: T
  /** Reads what an operator has written; throws an error whose message says what is allowed. */
  readonly read: (text: string) => T
  /** Writes a value so that `read` gives the same again. */
  readonly write: (value: T) => string
  /** Called after the value has been changed from outside, with the new one. */
  readonly onChange?: (value: T) => void
}

/** A value that `punctual set` changes in every worker while they run. */
export interface RuntimeValue<T> {
  readonly name: string
  /** In force now. A plain field: reading it costs nothing. */
  readonly value: T
  /** Takes the name back, so that nobody can set it any more; the value stays as it is. */
  close(): void
}

const LONGEST_NAME = 200

/**
 * Declares a value by a name with a dot, such as `cache.auth:user.ttl`, so that it can be changed while the app runs. One that has been set
 * before applies from the start. Outside Punctual it is the value that was given, and nobody changes it.
 *
 * @throws RangeError when the name is none
 */
export function runtimeValue<T>(name: string, options: RuntimeValueOptions<T>): RuntimeValue<T> {
  if (!/^[a-z][\w-]*\.\S/i.test(name) || /\p{Cc}/u.test(name) || name.length > LONGEST_NAME) {
    throw new InvalidOptionError(
      'runtimeValue',
      'name',
      name.slice(0, LONGEST_NAME),
      `must be what it belongs to, a dot and what it is ("cache.users.ttl"), at most ${LONGEST_NAME} characters`,
    )
  }
  const line = workerChannel()
  const declared = new Declared(name, options)
  if (line !== null) registryOf(line).declare(declared)
  return declared
}

class Declared<T> implements RuntimeValue<T> {
  readonly name: string
  value: T
  readonly #options: RuntimeValueOptions<T>
  registry: Registry | null = null

  constructor(name: string, options: RuntimeValueOptions<T>) {
    this.name = name
    this.value = options.value
    this.#options = options
  }

  get text(): string {
    return this.#options.write(this.value)
  }

  get standard(): string {
    return this.#options.write(this.#options.value)
  }

  /** The text as it would be written back. Throws if it is not allowed. */
  check(text: string): string {
    return this.#options.write(this.#options.read(text))
  }

  /** Takes the value that is written; null is the app's own. */
  take(text: string | null): void {
    this.value = text === null ? this.#options.value : this.#options.read(text)
  }

  tell(): void {
    this.#options.onChange?.(this.value)
  }

  close(): void {
    this.registry?.withdraw(this)
    this.registry = null
  }
}

/** The hot values of this process. Several of one name are one for the arbiter: all take the value that is set, or none. */
class Registry {
  readonly #line: WorkerChannel
  readonly #set: Map<string, string>
  readonly #declared = new Map<string, Set<Declared<unknown>>>()

  constructor(line: WorkerChannel) {
    this.#line = line
    this.#set = new Map(Object.entries(line.set ?? {}))
    line.subscribe(RUNTIME_TOPIC, (message) => this.#heard(message as RuntimeToWorker))
  }

  declare<T>(declared: Declared<T>): void {
    const { name } = declared
    const text = this.#set.get(name)
    let refused: string | null = null
    if (text !== undefined) {
      try {
        declared.take(text)
      } catch (error) {
        refused = messageOf(error)
      }
    }
    const namesakes = this.#declared.get(name) ?? new Set()
    this.#declared.set(name, namesakes.add(declared as Declared<unknown>))
    declared.registry = this
    if (namesakes.size === 1 || refused !== null) {
      this.#tell({ type: 'declare', name, value: declared.text, standard: declared.standard, refused })
    }
  }

  withdraw<T>(declared: Declared<T>): void {
    const namesakes = this.#declared.get(declared.name)
    namesakes?.delete(declared as Declared<unknown>)
    if (namesakes?.size !== 0) return
    this.#declared.delete(declared.name)
    this.#tell({ type: 'withdraw', name: declared.name })
  }

  #heard(message: RuntimeToWorker): void {
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
      this.#tell({ type: 'answer', ask, ok: true, value })
    } catch (error) {
      this.#tell({ type: 'answer', ask, ok: false, why: messageOf(error) })
    }
  }

  #change(name: string, namesakes: readonly Declared<unknown>[], text: string | null): void {
    if (text === null) this.#set.delete(name)
    else this.#set.set(name, text)
    // All have it before anybody is told: a listener that throws keeps it from nobody.
    for (const one of namesakes) one.take(text)
    for (const one of namesakes) one.tell()
  }

  #tell(message: RuntimeToArbiter): void {
    this.#line.send(RUNTIME_TOPIC, message)
  }
}

const registries = new WeakMap<WorkerChannel, Registry>()

function registryOf(line: WorkerChannel): Registry {
  const known = registries.get(line)
  if (known !== undefined) return known
  const registry = new Registry(line)
  registries.set(line, registry)
  return registry
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
