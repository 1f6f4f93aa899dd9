import { PunctualError } from '../errors/punctual-error.ts'

/** What a cache can neither freeze nor copy. */
export interface UnsharableValue {
  /** From the value itself: `.prices[0]`; empty for the value. */
  readonly path: string
  readonly kind: 'function' | 'symbol' | 'instance' | 'too-deep'
  /** Of an instance. */
  readonly className?: string
}

/** A value that a cache can neither freeze nor copy, such as an instance of a class: shared, one caller could change what another was given. */
export class CacheValueError extends PunctualError {
  static {
    CacheValueError.prototype.name = 'CacheValueError'
  }

  /**
   * @param of whose value it is
   * @param found where in it, and what
   */
  constructor(of: string, found: UnsharableValue) {
    super(
      'PUNCTUAL_CACHE_VALUE',
      `${of}${found.path} is ${describe(found)}, which a cache cannot share safely; return plain objects, arrays, strings, numbers, booleans, bigints, dates, maps, sets or bytes`,
      { details: { ...found } },
    )
  }
}

function describe({ kind, className }: UnsharableValue): string {
  if (kind === 'instance') return `an instance of ${className || 'a class'}`
  return kind === 'too-deep' ? 'nested too deeply, or in a circle' : `a ${kind}`
}
