import { type Milliseconds, type RuntimeValue, runtimeTimeout } from '../punctual.ts'

/**
 * The timeouts of the second incident; `punctual set auth.limit 30s` changes one in all workers.
 */
export interface AuthLimits {
  /** A response within 8 s; what the queries leave of it is for the response itself. */
  readonly whole: RuntimeValue<Milliseconds>
  /** Identifying the user. The lookup with keys counts towards it. */
  readonly lookUp: RuntimeValue<Milliseconds>
  /** If the table of keys hangs, this leaves enough time to look up the user alone. */
  readonly withKeys: RuntimeValue<Milliseconds>
  /** Removes the declared names. */
  close(): void
}

/** Declares `auth.limit`, `auth.lookUp` and `auth.withKeys`. */
export function authLimits(): AuthLimits {
  const limits = {
    whole: runtimeTimeout('auth.limit', '7.8s'),
    lookUp: runtimeTimeout('auth.lookUp', '5s'),
    withKeys: runtimeTimeout('auth.withKeys', '3s'),
  }
  return {
    ...limits,
    close: () => {
      for (const limit of Object.values(limits)) limit.close()
    },
  }
}
