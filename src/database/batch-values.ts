import type { BatchPlan } from './batch-plan.ts'

/**
 * The value, or the error, of each key, from what `loadMany` has given.
 *
 * @throws TypeError when that does not go with the keys
 */
export function valuesOf<Key, Value>(
  plan: BatchPlan<Key, Value>,
  keys: readonly Key[],
  given: unknown,
): readonly (Value | Error)[] {
  if (Array.isArray(given)) {
    if (given.length === keys.length) return given as readonly (Value | Error)[]
    throw new TypeError(
      `the batch "${plan.name}": loadMany was given ${keys.length} keys and gave ${given.length} values; give one for each key, in their order, or a Map`,
    )
  }
  if (given instanceof Map) return valuesInMap(plan, keys, given as ReadonlyMap<Key, Value | Error>)
  throw new TypeError(
    `the batch "${plan.name}": loadMany gave ${given === null ? 'null' : typeof given}; give an array with a value for each key, in their order, or a Map`,
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
    throw new TypeError(
      `the batch "${name}": the Map that loadMany gave has none of the keys it was asked for: it has ${tell(other)}, asked was ${tell(identityOf(keys[0] as Key))}. ` +
        'Keys must be of the same type (pg gives bigint columns as strings), objects need the option keyOf',
    )
  }
  return values
}

function tell(identity: unknown): string {
  if (typeof identity === 'object') return identity === null ? 'null' : 'an object'
  return `the ${typeof identity} ${typeof identity === 'string' ? JSON.stringify(identity).slice(0, 60) : String(identity)}`
}
