import { type Milliseconds, type RuntimeValue, runtimeTimeout } from '../punctual.ts'

/** The limits of the second incident; `punctual set auth.limit 30s` puts the one of before in the place of one, in all workers. */
export interface AuthLimits {
  /** The client is answered within 8 s, whatever the database does; what is left of them after the queries is for the answer itself. */
  readonly whole: RuntimeValue<Milliseconds>
  /** To know who it is. The look-up with the keys takes part in it. */
  readonly lookUp: RuntimeValue<Milliseconds>
  /** A table of keys that hangs leaves enough of the above to look up the user alone. */
  readonly withKeys: RuntimeValue<Milliseconds>
  /** Takes the names back. */
  close(): void
}

/** Declares them: `auth.limit`, `auth.lookUp` and `auth.withKeys`. */
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
