import { type Duration, formatDuration, type Milliseconds, readDuration } from '../resilience/duration.ts'
import { durationKind } from '../settings/number-kinds.ts'
import { type RuntimeValue, runtimeValue } from './runtime-value.ts'

export interface RuntimeTimeoutOptions {
  /** Called after the limit has been changed from outside, with the new one in milliseconds. */
  readonly onChange?: (limit: Milliseconds) => void
}

const kind = durationKind({ zero: true, unbounded: true })

/**
 * A limit, in milliseconds, that `punctual set <name> <duration>` changes in every worker while they run.
 *
 * @param name what it belongs to, a dot, and what it is: `auth.lookup`
 * @param limit in force until somebody sets another: `'5s'`, `'unbounded'`, or milliseconds
 * @throws RangeError when the name is none, or the limit no length of time
 */
export function runtimeTimeout(
  name: string,
  limit: Duration,
  options: RuntimeTimeoutOptions = {},
): RuntimeValue<Milliseconds> {
  return runtimeValue(name, {
    ...options,
    value: readDuration(`the hot value ${JSON.stringify(name)}`, 'timeout', limit),
    read,
    write: formatDuration,
  })
}

function read(text: string): Milliseconds {
  const parsed = kind.parse(text, { cwd: '.', isTerminal: false, parallelism: 1 })
  if (parsed.ok) return parsed.value
  throw new RangeError(`${parsed.what}; ${parsed.advice}`)
}
