import { PunctualError } from '../errors/punctual-error.ts'
import type { BatchPlan } from './batch-plan.ts'

export interface BatchResultDetails {
  readonly batch: string
  /** `type`: neither an array nor a `Map`. `count`: not as many values as keys. `keys`: a `Map` with none of the keys. */
  readonly problem: 'type' | 'count' | 'keys'
  /** How many keys were to be loaded. */
  readonly keys: number
  /** How many values were given, where that can be told. */
  readonly values: number | null
}

/** What `loadMany` of a batch has given does not go with the keys it was asked for. */
export class BatchResultError extends PunctualError {
  static {
    BatchResultError.prototype.name = 'BatchResultError'
  }

  declare readonly details: BatchResultDetails & Readonly<Record<string, unknown>>

  constructor(message: string, details: BatchResultDetails) {
    super('PUNCTUAL_BATCH_RESULT', `the batch "${details.batch}": ${message}`, { details: { ...details } })
  }
}

/**
 * The value, or the error, of each key, from what `loadMany` has given.
 *
 * @throws BatchResultError when that does not go with the keys
 */
export function valuesOf<Key, Value>(
  plan: BatchPlan<Key, Value>,
  keys: readonly Key[],
  given: unknown,
): readonly (Value | Error)[] {
  if (Array.isArray(given)) {
    if (given.length === keys.length) return given as readonly (Value | Error)[]
    throw new BatchResultError(
      `loadMany was given ${keys.length} keys and gave ${given.length} values; give one for each key, in their order, or a Map`,
      { batch: plan.name, problem: 'count', keys: keys.length, values: given.length },
    )
  }
  if (given instanceof Map) return valuesInMap(plan, keys, given as ReadonlyMap<Key, Value | Error>)
  throw new BatchResultError(
    `loadMany gave ${given === null ? 'null' : typeof given}; give an array with a value for each key, in their order, or a Map`,
    { batch: plan.name, problem: 'type', keys: keys.length, values: null },
  )
}

function valuesInMap<Key, Value>(
  { name, identityOf, missing }: BatchPlan<Key, Value>,
  keys: readonly Key[],
  map: ReadonlyMap<Key, Value | Error>,
): readonly (Value | Error)[] {
  const byIdentity = new Map([...map].map(([key, value]) => [identityOf(key), value]))
  let found = 0
  const values = keys.map((key) => {
    const identity = identityOf(key)
    if (!byIdentity.has(identity)) return missing(key)
    found++
    return byIdentity.get(identity) as Value | Error
  })
  if (found === 0 && map.size > 0) {
    const [other] = byIdentity.keys()
    throw new BatchResultError(
      `the Map that loadMany gave has none of the keys it was asked for: it has ${tell(other)}, asked was ${tell(identityOf(keys[0] as Key))}. ` +
        'Keys must be of the same type (pg gives bigint columns as strings), objects need the option keyOf',
      { batch: name, problem: 'keys', keys: keys.length, values: map.size },
    )
  }
  return values
}

function tell(identity: unknown): string {
  if (typeof identity === 'object') return identity === null ? 'null' : 'an object'
  return `the ${typeof identity} ${typeof identity === 'string' ? JSON.stringify(identity).slice(0, 60) : String(identity)}`
}
