import type { Kysely } from 'kysely'
import type { Database } from '../database/schema.ts'
import { currentRequest, type DurableQueue, QueryTimeoutError, withFallback, withQueryTimeout } from '../punctual.ts'
import type { AuthLimits } from './auth-limits.ts'
import type { ApiKey, AuthResult, AuthService, Identity } from './contract.ts'
import type { Referral } from './deferred-referrals.ts'
import type { KnownUsers } from './known-users.ts'
import { newApiKey } from './new-api-key.ts'
import { type Found, findAndStamp, findAndStampWithKeys, insertUser } from './user-queries.ts'

/** What it stands on. */
export interface AuthParts {
  readonly db: Kysely<Database>
  readonly users: KnownUsers
  readonly limits: AuthLimits
  readonly referrals: Pick<DurableQueue<Referral>, 'push'>
}

/**
 * The same on Punctual, over a guarded pool: no query for who returned a short while ago, else one; 2 for who signs up; each with a name and a limit,
 * and cancelled on the server when it runs out. A referral is seen to after the answer. Without the keys, or with what was known of the user before the database
 * failed, there is still an answer, which says so (`degraded`); without the user there is none, and the error of the guard is a 503.
 */
export function createAuthAfter(parts: AuthParts): AuthService {
  return { auth: (identity) => withQueryTimeout('auth', parts.limits.whole.value, () => auth(parts, identity)) }
}

async function auth(parts: AuthParts, identity: Identity): Promise<AuthResult> {
  const known = await lookUp(parts, identity)
  if (known === 'username taken') return known
  return known === undefined ? signUp(parts, identity) : signedIn(known)
}

/** The user with his keys, from the cache; only when that takes too long, which may be the fault of the keys, the user alone. */
function lookUp({ db, users, limits }: AuthParts, identity: Identity): Promise<Found> {
  return withQueryTimeout('user look-up', limits.lookUp.value, () =>
    withFallback(
      'API keys',
      () => users.byPrivyId.get(identity.privyId),
      () => findAndStamp(db, identity),
      // A pool that is dry will not give a second connection sooner than the first.
      { when: (error) => error instanceof QueryTimeoutError },
    ),
  )
}

async function signUp(parts: AuthParts, identity: Identity): Promise<AuthResult> {
  const key = newApiKey()
  const user = await insertUser(parts.db, identity, key)
  if (user === undefined) return signInByName(parts, identity)
  const { id, username, referralCode, apiKey } = user
  // Before anything is waited for: a worker that is killed by then leaves a user whom nobody refers.
  const referral = identity.referralCode === undefined ? null : refer(parts.referrals, id, identity.referralCode)
  await parts.users.forget(identity)
  return {
    user: { id, username, referralCode, isNew: true },
    apiKeys: [apiKey],
    newApiKey: key.secret,
    referral,
    degraded: referral === 'unavailable',
  }
}

/** The name is somebody's: his own, from before he had an identity or since a moment ago; or another's, which is remembered. */
async function signInByName({ db, users, limits }: AuthParts, identity: Identity): Promise<AuthResult> {
  const holder = await users.byUsername.get(identity.username)
  if (typeof holder?.privyId === 'string' && holder.privyId !== identity.privyId) return 'username taken'
  const known = await withQueryTimeout('user look-up', limits.lookUp.value, () => findAndStampWithKeys(db, identity))
  await users.forget(identity)
  return known === undefined || known === 'username taken' ? 'username taken' : signedIn(known)
}

/** Nobody who signs up waits for it. */
function refer(referrals: AuthParts['referrals'], userId: number, code: string): 'accepted' | 'unavailable' {
  const result = referrals.push({ userId, code })
  return result === 'persisted' || result === 'memory' ? 'accepted' : 'unavailable'
}

function signedIn(known: {
  readonly id: number
  readonly username: string
  readonly referralCode: string
  readonly apiKeys: readonly ApiKey[] | undefined
}): AuthResult {
  const { id, username, referralCode, apiKeys = [] } = known
  const user = { id, username, referralCode, isNew: false }
  return { user, apiKeys, newApiKey: null, referral: null, degraded: known.apiKeys === undefined || wasDegraded() }
}

/** Whether something else has taken the place of what this request asked for, such as an old value out of the cache. */
function wasDegraded(): boolean {
  return (currentRequest()?.waits.count('degraded') ?? 0) > 0
}
