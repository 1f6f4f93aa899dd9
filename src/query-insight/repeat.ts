import type { QueryUse } from './query-use.ts'
import type { RepeatPlace } from './repeat-place.ts'

/** A query that was asked again and again from one place. */
export interface Repeat extends RepeatPlace {
  readonly use: QueryUse
  /** `rows`: with other values each time; `same`: with the same. */
  readonly kind: 'rows' | 'same'
  readonly count: number
}
