import { type Milliseconds, type RuntimeValue, runtimeTimeout } from '../punctual.ts'

/**
 * The timeouts of the second incident; `punctual set auth.timeout 30s` changes one in all workers.
 */
export interface AuthTimeouts {
  /** A response within 8 s; what the queries leave of it is for the response itself. */
  readonly whole: RuntimeValue<Milliseconds>
  /** Identifying the user. The lookup with keys counts towards it. */
  readonly lookUp: RuntimeValue<Milliseconds>
  /** If the table of keys hangs, this leaves enough time to look up the user alone. */
  readonly withKeys: RuntimeValue<Milliseconds>
  /** Removes the declared names. */
  close(): void
}

/** Declares `auth.timeout`, `auth.lookup` and `auth.withKeys`. */
export function authTimeouts(): AuthTimeouts {
  const timeouts = {
    whole: runtimeTimeout('auth.timeout', '7.8s'),
    lookUp: runtimeTimeout('auth.lookup', '5s'),
    withKeys: runtimeTimeout('auth.withKeys', '3s'),
  }
  return {
    ...timeouts,
    close: () => {
      for (const timeout of Object.values(timeouts)) timeout.close()
    },
  }
}
