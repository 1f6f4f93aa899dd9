import { PunctualError } from '../errors/punctual-error.ts'
import { isThenable } from './is-thenable.ts'
import { ProcessGlobal } from './process-global.ts'

type Instances = Map<string, { value: unknown } | 'being created'>

const instances = new ProcessGlobal<Instances>('once')

/**
 * Returns the one instance of this process with a name: the first call creates it, later calls
 * share it, also from another copy of this package or of the calling module.
 *
 * `create` may return a promise; callers share it while it is pending. A creation that throws or
 * rejects is not kept, and the next call tries again. A name must always mean the same thing,
 * because all callers get what the first `create` returned.
 *
 * @throws PunctualError `PUNCTUAL_USAGE` if `create` asks for the instance that it is creating
 */
export function singleton<T>(name: string, create: () => T): T {
  const all = instances.getOrCreate(() => new Map())
  const found = all.get(name)
  if (found === 'being created') {
    throw new PunctualError(
      'PUNCTUAL_USAGE',
      `singleton("${name}") is used during its own creation; create what it depends on separately`,
      { details: { name } },
    )
  }
  if (found !== undefined) return found.value as T
  all.set(name, 'being created')
  try {
    const value = create()
    const entry = { value }
    all.set(name, entry)
    if (isThenable(value)) {
      value.then(undefined, () => {
        if (all.get(name) === entry) all.delete(name)
      })
    }
    return value
  } catch (error) {
    all.delete(name)
    throw error
  }
}
