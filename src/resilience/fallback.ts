import { InvalidOptionError } from '../errors/invalid-option-error.ts'
import { isAbortReason, isTimeout } from './abort-reason.ts'
import { readCount, UNBOUNDED } from './duration.ts'
import type { WaitContext, WaitNode } from './wait-node.ts'
import { callWithin, type ParentOption, parentOf } from './wait-scope.ts'
import { startWait } from './with-timeout.ts'

export interface WithFallbackOptions extends ParentOption {
  /** Which errors the fallback is for. Default: all, save reasons to abort that are no time-out. */
  readonly when?: (error: unknown) => boolean
}

/**
 * Takes something else where work fails, whatever the failure; the list of waits calls it `degraded`. It has no limit of its own: put `withTimeout`
 * inside for that. (For a time-out alone, `withTimeout` has a `fallback` too.)
 *
 * @param name what is wanted, for the list of waits
 * @param fallback a value, or a function of the error that makes one
 * @returns what `work` returns, or the fallback; rejects as `work` does where the fallback is not for that error, and with the fallback's own
 *   error (whose `cause` is the work's) where that fails too
 */
export function withFallback<Value, Otherwise>(
  name: string,
  work: (wait: WaitContext) => Value | PromiseLike<Value>,
  fallback: Otherwise | ((error: unknown) => Otherwise | PromiseLike<Otherwise>),
  options?: WithFallbackOptions,
): Promise<Value | Otherwise> {
  try {
    const rescues = options?.when ?? rescuesByDefault
    return startWait<Value, Otherwise>(parentOf(options), name, UNBOUNDED, work, { fallback, rescues })
  } catch (error) {
    return Promise.reject(error)
  }
}

/** Nobody is there any more to be told something else. */
function rescuesByDefault(error: unknown): boolean {
  return isTimeout(error) || !isAbortReason(error)
}

/** Where the same thing may be had, by name, in the order they are asked. Each is a function of the key. */
export type Sources = Readonly<Record<string, (key: never, wait: WaitContext) => unknown>>

/** What all these sources take as their key. */
export type KeyOf<From extends Sources> = From[keyof From] extends (key: infer Key, wait: WaitContext) => unknown
  ? Key
  : never

export interface FallbackChainOptions<From extends Sources> {
  readonly sources: From
  /** Whether an error of a source means that the next should be asked. Any other is passed on as it is. */
  readonly next: (error: unknown, source: keyof From & string) => boolean
  /** For how many keys it is remembered which source answered; the one used longest ago is forgotten first. Default: 10,000. */
  readonly remember?: number
}

/** An answer, and who gave it. */
export type Answer<From extends Sources> = {
  readonly [Source in keyof From & string]: {
    readonly source: Source
    readonly value: Awaited<ReturnType<From[Source]>>
  }
}[keyof From & string]

export interface AskOptions<Source extends string> extends ParentOption {
  /** Which to ask first, where nothing is remembered of this key; e.g. what the caller supposes. Default: the first of `sources`. */
  readonly first?: Source | undefined
}

/**
 * Asks one source after another, until one has the answer: for ids that look alike and belong to different places. The source that answered
 * is remembered by key and asked first the next time.
 */
export class FallbackChain<From extends Sources> {
  readonly name: string
  readonly #sources: From
  readonly #names: readonly (keyof From & string)[]
  readonly #next: (error: unknown, source: keyof From & string) => boolean
  readonly #most: number
  /** In order of use, the one used longest ago first: that is the order a `Map` keeps. */
  readonly #answered = new Map<KeyOf<From>, keyof From & string>()

  /** @throws RangeError for options that do not apply */
  constructor(name: string, { sources, next, remember = 10_000 }: FallbackChainOptions<From>) {
    this.name = name
    this.#sources = sources
    this.#names = Object.keys(sources)
    this.#next = next
    this.#most = readCount(`the fallbackChain "${name}"`, 'remember', remember, 0)
    if (this.#names.length === 0)
      throw new InvalidOptionError(`the fallbackChain "${name}"`, 'sources', sources, 'must have at least one source')
  }

  /**
   * Asks for what belongs to this key.
   *
   * @returns the answer and its source; rejects with the error of the source asked last, or of the first whose error `next` does not name
   * @throws RangeError (as a rejection) when `first` is none of the sources
   */
  async ask(key: KeyOf<From>, options?: AskOptions<keyof From & string>): Promise<Answer<From>> {
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

  /** Which source answered for this key the last time, as far as it is remembered. */
  remembered(key: KeyOf<From>): (keyof From & string) | undefined {
    return this.#answered.get(key)
  }

  #call(parent: WaitNode, source: keyof From & string, key: KeyOf<From>): unknown {
    const ask = this.#sources[source] as (key: KeyOf<From>, wait: WaitContext) => unknown
    return callWithin(parent, (wait) => ask(key, wait))
  }

  #inOrder(key: KeyOf<From>, wished: (keyof From & string) | undefined): readonly (keyof From & string)[] {
    if (wished !== undefined && !this.#names.includes(wished)) {
      throw new InvalidOptionError(
        `the fallbackChain "${this.name}"`,
        'first',
        wished,
        `must be one of ${this.#names.join(', ')}`,
      )
    }
    const first = this.#answered.get(key) ?? wished
    return first === undefined ? this.#names : [first, ...this.#names.filter((name) => name !== first)]
  }

  #remember(key: KeyOf<From>, source: keyof From & string): void {
    if (this.#most === 0) return
    this.#answered.delete(key)
    this.#answered.set(key, source)
    if (this.#answered.size <= this.#most) return
    for (const oldest of this.#answered.keys()) {
      this.#answered.delete(oldest)
      return
    }
  }
}

/** One for each kind of thing that may be in more than one place. */
export function fallbackChain<From extends Sources>(
  name: string,
  options: FallbackChainOptions<From>,
): FallbackChain<From> {
  return new FallbackChain(name, options)
}
