import { PunctualError } from '../errors/punctual-error.ts'

/** A value that a cache can neither freeze nor copy, such as an instance of a class: shared, one caller could change what another was given. */
export class CacheValueError extends PunctualError {
  static {
    CacheValueError.prototype.name = 'CacheValueError'
  }

  constructor(where: string, what: string) {
    super(
      'PUNCTUAL_CACHE_VALUE',
      `${where} is ${what}, which a cache cannot share safely; return plain objects, arrays, strings, numbers, booleans, bigints, dates, maps, sets or bytes`,
    )
  }
}
