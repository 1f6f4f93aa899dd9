import type { Kysely } from 'kysely'
import type { Database } from '../database/schema.ts'
import { fallbackTo, isExpiry, QueryExpiredError, withQueryLimit } from '../punctual.ts'
import type { ApiKey, AuthResult, AuthService, Identity, ReferralOutcome } from './contract.ts'
import { newApiKey } from './new-api-key.ts'
import { recordReferral } from './record-referral.ts'
import { type Found, findAndStamp, findAndStampWithKeys, insertUser } from './user-queries.ts'

/** The client is answered within 8 s, whatever the database does; what is left of them after the queries is for the answer itself. */
const AUTH_LIMIT = '7.8s'
/** To know who it is. The look-up with the keys takes part in it. */
const LOOK_UP_LIMIT = '5s'
/** A table of keys that hangs leaves enough of the above to look up the user alone. */
const WITH_KEYS_LIMIT = '3s'
const REFERRAL_LIMIT = '2s'

/**
 * The same on Punctual, over a guarded pool: one query for who returns, 2 or 3 for who signs up, each with a name and a limit,
 * and cancelled on the server when it runs out. Without the keys, or the referral, there is still an answer, which says so (`degraded`); without
 * the user there is none, and the error of the guard is a 503.
 */
export function createAuthAfter(db: Kysely<Database>): AuthService {
  return { auth: (identity) => withQueryLimit('auth', AUTH_LIMIT, () => auth(db, identity)) }
}

async function auth(db: Kysely<Database>, identity: Identity): Promise<AuthResult> {
  const known = await lookUp(db, identity)
  if (known === 'username taken') return known
  return known === undefined ? signUp(db, identity) : signedIn(known)
}

/** The user with his keys; only when that takes too long, which may be the fault of the keys, the user alone. */
function lookUp(db: Kysely<Database>, identity: Identity): Promise<Found> {
  return withQueryLimit('user look-up', LOOK_UP_LIMIT, () =>
    fallbackTo(
      'API keys',
      () => withQueryLimit('user with API keys', WITH_KEYS_LIMIT, () => findAndStampWithKeys(db, identity)),
      () => findAndStamp(db, identity),
      // A pool that is dry will not give a second connection sooner than the first.
      { when: (error) => error instanceof QueryExpiredError },
    ),
  )
}

async function signUp(db: Kysely<Database>, identity: Identity): Promise<AuthResult> {
  const key = newApiKey()
  const user = await insertUser(db, identity, key)
  // Somebody took the name, or he himself signed up on another connection, since we looked.
  if (user === undefined) {
    const known = await lookUp(db, identity)
    return known === undefined || known === 'username taken' ? 'username taken' : signedIn(known)
  }
  const { id, username, referralCode, apiKey } = user
  const referral = identity.referralCode === undefined ? null : await refer(db, id, identity.referralCode)
  return {
    user: { id, username, referralCode, isNew: true },
    apiKeys: [apiKey],
    newApiKey: key.secret,
    referral,
    degraded: referral === 'unavailable',
  }
}

/** He is signed up by now, and stays so whatever becomes of the referral: to fail here would tell him he is not. */
function refer(db: Kysely<Database>, userId: number, code: string): Promise<ReferralOutcome> {
  return fallbackTo(
    'referral',
    () => withQueryLimit('referral', REFERRAL_LIMIT, () => recordReferral(db, userId, code)),
    'unavailable',
    { when: isExpiry },
  )
}

function signedIn(known: {
  readonly id: number
  readonly username: string
  readonly referralCode: string
  readonly apiKeys: readonly ApiKey[] | undefined
}): AuthResult {
  const { id, username, referralCode, apiKeys = [] } = known
  const user = { id, username, referralCode, isNew: false }
  return { user, apiKeys, newApiKey: null, referral: null, degraded: known.apiKeys === undefined }
}
