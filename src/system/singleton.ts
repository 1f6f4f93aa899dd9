import { PunctualError } from '../errors/punctual-error.ts'
import { isThenable } from './is-thenable.ts'

/** On the global object, so that a second copy of this package, or of the module that asks, finds the same instance. */
const KEY = Symbol.for('punctual.once')

type Instances = Map<string, { value: unknown } | 'being made'>

function instances(): Instances {
  const holder = globalThis as { [KEY]?: Instances }
  holder[KEY] ??= new Map()
  return holder[KEY]
}

/**
 * One instance per process, by name, however many modules ask for it: made by the first who asks, then shared.
 *
 * `create` may return a promise; who asks while it is pending shares it. A creation that throws or rejects is not kept: the next who asks
 * tries again. Whoever asks gets what the first `create` of that name made, so a name must always mean the same thing.
 *
 * @throws {PunctualError} `PUNCTUAL_USAGE` when `create` asks for the very instance it is making.
 */
export function singleton<T>(name: string, create: () => T): T {
  const made = instances()
  const found = made.get(name)
  if (found === 'being made') {
    throw new PunctualError(
      'PUNCTUAL_USAGE',
      `once('${name}') was asked for by its own creation; take what is needed for it from elsewhere`,
      { details: { name } },
    )
  }
  if (found !== undefined) return found.value as T
  made.set(name, 'being made')
  try {
    const value = create()
    const entry = { value }
    made.set(name, entry)
    if (isThenable(value)) {
      value.then(undefined, () => {
        if (made.get(name) === entry) made.delete(name)
      })
    }
    return value
  } catch (error) {
    made.delete(name)
    throw error
  }
}
