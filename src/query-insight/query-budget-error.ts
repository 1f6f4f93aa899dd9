import { PunctualError } from '../errors/punctual-error.ts'

/** A request asked for more queries than its route may run. Thrown by the query that is too many, in tests alone; it was not sent. */
export class TooManyQueriesError extends PunctualError {
  static {
    TooManyQueriesError.prototype.name = 'TooManyQueriesError'
  }

  readonly max: number

  constructor(max: number, sql: string) {
    super(
      'PUNCTUAL_MAX_QUERIES_PER_REQUEST',
      `the ${max === 1 ? 'one query' : `${max} queries`} of this request were used up; one more is: ${sql}`,
    )
    this.max = max
  }
}
