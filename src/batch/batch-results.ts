import { PunctualError } from '../errors/punctual-error.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import type { WaitContext } from '../resilience/wait-node.ts'

/** The definition of a batch, with defaults filled in. */
export interface BatchPlan<Key, Value> {
  readonly name: string
  readonly loadMany: (keys: readonly Key[], wait: WaitContext) => unknown
  /** The most keys of one call of `loadMany`. */
  readonly max: number
  readonly timeout: Milliseconds
  readonly identityOf: (key: Key) => unknown
  readonly missing: (key: Key) => Value
}

export interface BatchResultDetails {
  readonly batch: string
  /**
   * `type`: the result is neither an array nor a `Map`. `count`: the array has another length than
   * the keys. `keys`: the `Map` has none of the keys.
   */
  readonly problem: 'type' | 'count' | 'keys'
  /** The number of keys that `loadMany` was called with. */
  readonly keys: number
  /** The number of values in the result; null if it has no length. */
  readonly values: number | null
}

/** `loadMany` of a batch returned a result that does not match its keys. */
export class BatchResultError extends PunctualError {
  static {
    BatchResultError.prototype.name = 'BatchResultError'
  }

  declare readonly details: BatchResultDetails & Readonly<Record<string, unknown>>

  constructor(message: string, details: BatchResultDetails) {
    super('PUNCTUAL_BATCH_RESULT', `batch "${details.batch}": ${message}`, { details: { ...details } })
  }
}

const EXPECTED = 'return an array with one value per key, in the same order, or a Map'

/**
 * Returns the value, or the error, of each key from the result of `loadMany`.
 *
 * @throws BatchResultError when the result does not match the keys
 */
export function resultsOf<Key, Value>(
  plan: BatchPlan<Key, Value>,
  keys: readonly Key[],
  result: unknown,
): readonly (Value | Error)[] {
  if (Array.isArray(result)) {
    if (result.length === keys.length) return result as readonly (Value | Error)[]
    throw new BatchResultError(
      `loadMany was called with ${keys.length} keys and returned ${result.length} values; ${EXPECTED}`,
      { batch: plan.name, problem: 'count', keys: keys.length, values: result.length },
    )
  }
  if (result instanceof Map) return resultsInMap(plan, keys, result as ReadonlyMap<Key, Value | Error>)
  throw new BatchResultError(`loadMany returned ${result === null ? 'null' : typeof result}; ${EXPECTED}`, {
    batch: plan.name,
    problem: 'type',
    keys: keys.length,
    values: null,
  })
}

function resultsInMap<Key, Value>(
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
    const requested = formatKey(identityOf(keys[0] as Key))
    throw new BatchResultError(
      `the Map that loadMany returned has ${formatKey(other)}, but no requested key, such as ${requested}. ` +
        'Keys must have the same type (pg returns bigint columns as strings); objects need the option keyOf',
      { batch: name, problem: 'keys', keys: keys.length, values: map.size },
    )
  }
  return values
}

function formatKey(identity: unknown): string {
  if (typeof identity === 'object') return identity === null ? 'null' : 'an object'
  const text = typeof identity === 'string' ? JSON.stringify(identity).slice(0, 60) : String(identity)
  return `the ${typeof identity} ${text}`
}
