import { checkOptions, type OptionNames } from '../errors/check-options.ts'
import { InvalidOptionError } from '../errors/punctual-error.ts'
import { isAbortReason, isTimeout } from './abort-reason.ts'
import { readCount, UNBOUNDED } from './duration.ts'
import type { WaitContext, WaitNode } from './wait-node.ts'
import { callWithin, type ParentOption, parentOf } from './wait-scope.ts'
import { startWait } from './with-timeout.ts'

export interface WithFallbackOptions extends ParentOption {
  /**
   * Which errors the fallback is for. Default: all errors but abort reasons that are not a timeout.
   */
  readonly when?: (error: unknown) => boolean
}

const OPTIONS: OptionNames<WithFallbackOptions> = { parent: true, when: true }

/**
 * Calls `work`, and takes a fallback if it fails for any reason; the outcome in the list of waits
 * is `degraded` then. It has no timeout: put `withTimeout` inside. (For a fallback after a timeout
 * only, `withTimeout` has the option `fallback`.)
 *
 * @param name what the caller waits for; appears in the list of waits
 * @param fallback a value, or a function of the error that returns one
 * @returns what `work` returns, or the fallback; rejects as `work` does if the fallback is not for
 *   that error, and with the error of the fallback, whose `cause` is that of `work`, if the
 *   fallback fails too
 */
export function withFallback<Value, Otherwise>(
  name: string,
  work: (wait: WaitContext) => Value | PromiseLike<Value>,
  fallback: Otherwise | ((error: unknown) => Otherwise | PromiseLike<Otherwise>),
  options?: WithFallbackOptions,
): Promise<Value | Otherwise> {
  try {
    if (options !== undefined) checkOptions(`withFallback("${name}")`, options, OPTIONS)
    const rescues = options?.when ?? rescuesByDefault
    return startWait<Value, Otherwise>(parentOf(options), name, UNBOUNDED, work, { fallback, rescues })
  } catch (error) {
    return Promise.reject(error)
  }
}

/** Not for a client that has disconnected or a shutdown: the caller is gone. */
function rescuesByDefault(error: unknown): boolean {
  return isTimeout(error) || !isAbortReason(error)
}

/** The sources by name, in the order in which they are asked. Each is a function of the key. */
export type Sources = Readonly<Record<string, (key: never, wait: WaitContext) => unknown>>

/** The type of the key of all sources. */
export type KeyOf<From extends Sources> = From[keyof From] extends (key: infer Key, wait: WaitContext) => unknown
  ? Key
  : never

export interface FallbackChainOptions<From extends Sources> {
  readonly sources: From
  /** Whether to ask the next source after this error. Any other error is passed on. */
  readonly next: (error: unknown, source: keyof From & string) => boolean
  /**
   * For how many keys, the most recently used, the source that answered is remembered. Default:
   * 10,000.
   */
  readonly remember?: number
}

const CHAIN_OPTIONS: OptionNames<FallbackChainOptions<Sources>> = { sources: true, next: true, remember: true }

/** An answer and its source. */
export type Answer<From extends Sources> = {
  readonly [Source in keyof From & string]: {
    readonly source: Source
    readonly value: Awaited<ReturnType<From[Source]>>
  }
}[keyof From & string]

export interface AskOptions<Source extends string> extends ParentOption {
  /** The source to ask first if none is remembered for the key. Default: the first of `sources`. */
  readonly first?: Source | undefined
}

const ASK_OPTIONS: OptionNames<AskOptions<string>> = { parent: true, first: true }

/**
 * Asks one source after another until one has the answer: for ids that look alike and belong to
 * different systems. The source that answered is remembered for the key, and asked first the next
 * time.
 */
export class FallbackChain<From extends Sources> {
  readonly name: string
  readonly #sources: From
  readonly #names: readonly (keyof From & string)[]
  readonly #next: (error: unknown, source: keyof From & string) => boolean
  readonly #maxRemembered: number
  /** In order of use, the least recently used first: a `Map` keeps the order of insertion. */
  readonly #answered = new Map<KeyOf<From>, keyof From & string>()

  /** @throws InvalidOptionError for an invalid option */
  constructor(name: string, options: FallbackChainOptions<From>) {
    checkOptions(`the fallback chain "${name}"`, options, CHAIN_OPTIONS)
    const { sources, next, remember = 10_000 } = options
    this.name = name
    this.#sources = sources
    this.#names = Object.keys(sources)
    this.#next = next
    this.#maxRemembered = readCount(`the fallback chain "${name}"`, 'remember', remember, 0)
    if (this.#names.length === 0)
      throw new InvalidOptionError(`the fallback chain "${name}"`, 'sources', sources, 'must have at least one source')
  }

  /**
   * Asks for the value of a key.
   *
   * @returns the answer and its source; rejects with the error of the last source, or the first
   *   error that `next` does not accept
   * @throws InvalidOptionError (as a rejection) if `first` is not one of the sources
   */
  async ask(key: KeyOf<From>, options?: AskOptions<keyof From & string>): Promise<Answer<From>> {
    if (options !== undefined) checkOptions(`the fallback chain "${this.name}"`, options, ASK_OPTIONS)
    const parent = parentOf(options)
    const names = this.#inOrder(key, options?.first)
    for (const [index, source] of names.entries()) {
      if (parent.reason !== undefined) throw parent.reason
      try {
        const value = await this.#call(parent, source, key)
        this.#remember(key, source)
        return { source, value } as Answer<From>
      } catch (error) {
        if (index === names.length - 1 || !this.#next(error, source)) throw error
      }
    }
    throw new Error('unreachable: there is at least one source')
  }

  /** The source that answered last for this key; undefined if none is remembered. */
  remembered(key: KeyOf<From>): (keyof From & string) | undefined {
    return this.#answered.get(key)
  }

  #call(parent: WaitNode, source: keyof From & string, key: KeyOf<From>): unknown {
    const ask = this.#sources[source] as (key: KeyOf<From>, wait: WaitContext) => unknown
    return callWithin(parent, (wait) => ask(key, wait))
  }

  #inOrder(key: KeyOf<From>, first: (keyof From & string) | undefined): readonly (keyof From & string)[] {
    if (first !== undefined && !this.#names.includes(first)) {
      throw new InvalidOptionError(
        `the fallback chain "${this.name}"`,
        'first',
        first,
        `must be one of ${this.#names.join(', ')}`,
      )
    }
    const start = this.#answered.get(key) ?? first
    return start === undefined ? this.#names : [start, ...this.#names.filter((name) => name !== start)]
  }

  #remember(key: KeyOf<From>, source: keyof From & string): void {
    if (this.#maxRemembered === 0) return
    this.#answered.delete(key)
    this.#answered.set(key, source)
    if (this.#answered.size <= this.#maxRemembered) return
    for (const oldest of this.#answered.keys()) {
      this.#answered.delete(oldest)
      return
    }
  }
}

/**
 * Creates a chain of sources for one kind of value that may be in more than one system.
 *
 * @param name appears in errors
 * @throws InvalidOptionError for an invalid option
 */
export function fallbackChain<From extends Sources>(
  name: string,
  options: FallbackChainOptions<From>,
): FallbackChain<From> {
  return new FallbackChain(name, options)
}
