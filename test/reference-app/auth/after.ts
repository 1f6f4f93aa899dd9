import type { Kysely } from 'kysely'
import type { Database } from '../database/schema.ts'
import { currentRequest, type DurableQueue, QueryTimeoutError, withFallback, withQueryTimeout } from '../punctual.ts'
import type { AuthTimeouts } from './auth-timeouts.ts'
import type { ApiKey, AuthResult, AuthService, Identity } from './contract.ts'
import type { Referral } from './deferred-referrals.ts'
import type { KnownUsers } from './known-users.ts'
import { newApiKey } from './new-api-key.ts'
import { type Found, findAndStamp, findAndStampWithKeys, insertUser } from './user-queries.ts'

/** What the service uses. */
export interface AuthParts {
  readonly db: Kysely<Database>
  readonly users: KnownUsers
  readonly timeouts: AuthTimeouts
  readonly referrals: Pick<DurableQueue<Referral>, 'push'>
}

/**
 * The service on Punctual, over a guarded pool. A recently seen user costs no query, another
 * returning user one, a new one two. Each query has a name and a timeout, and is cancelled on the
 * server. The referral is processed after the response. If the keys or the database fail, the
 * response is degraded and says so (`degraded`); if the user cannot be loaded, it is a 503.
 */
export function createAuthAfter(parts: AuthParts): AuthService {
  return { auth: (identity) => withQueryTimeout('auth', parts.timeouts.whole.value, () => auth(parts, identity)) }
}

async function auth(parts: AuthParts, identity: Identity): Promise<AuthResult> {
  const known = await lookUp(parts, identity)
  if (known === 'username taken') return known
  return known === undefined ? signUp(parts, identity) : signedIn(known)
}

/** Loads the user with their keys from the cache; if that times out, the user alone. */
function lookUp({ db, users, timeouts }: AuthParts, identity: Identity): Promise<Found> {
  return withQueryTimeout('user look-up', timeouts.lookUp.value, () =>
    withFallback(
      'API keys',
      () => users.byPrivyId.get(identity.privyId),
      () => findAndStamp(db, identity),
      // An exhausted pool will not provide a second connection any sooner.
      { when: (error) => error instanceof QueryTimeoutError },
    ),
  )
}

async function signUp(parts: AuthParts, identity: Identity): Promise<AuthResult> {
  const key = newApiKey()
  const user = await insertUser(parts.db, identity, key)
  if (user === undefined) return signInByName(parts, identity)
  const { id, username, referralCode, apiKey } = user
  // Pushed before any wait: a worker killed during the wait must not lose the referral.
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

/**
 * The name is taken: by the same user, from before the identity provider or a moment ago, or by
 * another user, which is cached.
 */
async function signInByName({ db, users, timeouts }: AuthParts, identity: Identity): Promise<AuthResult> {
  const holder = await users.byUsername.get(identity.username)
  if (typeof holder?.privyId === 'string' && holder.privyId !== identity.privyId) return 'username taken'
  const known = await withQueryTimeout('user look-up', timeouts.lookUp.value, () => findAndStampWithKeys(db, identity))
  await users.forget(identity)
  return known === undefined || known === 'username taken' ? 'username taken' : signedIn(known)
}

/** Not awaited by the client. */
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

/** Returns whether the response contains a fallback, such as an expired value of the cache. */
function wasDegraded(): boolean {
  return (currentRequest()?.waits.count('degraded') ?? 0) > 0
}
