import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import type { Database } from '../database/schema.ts'
import type { ApiKey, AuthResult, AuthService, Identity, ReferralOutcome } from './contract.ts'
import { newApiKey, newReferralCode } from './new-api-key.ts'

/**
 * The service of the second incident: 3 to 12 sequential queries without timeouts, each in a
 * transaction of its own, including the referral and its letter. A failure midway leaves partial
 * changes, and a database that hangs blocks every client.
 */
export function createAuthBefore(db: Kysely<Database>): AuthService {
  return { auth: (identity) => auth(db, identity) }
}

async function auth(db: Kysely<Database>, identity: Identity): Promise<AuthResult> {
  const { privyId, username } = identity
  const known =
    (await db.selectFrom('auth_users').selectAll().where('privy_id', '=', privyId).executeTakeFirst()) ??
    (await db.selectFrom('auth_users').selectAll().where('username', '=', username).executeTakeFirst())
  if (known === undefined) return signUp(db, identity)
  if (known.privy_id !== null && known.privy_id !== privyId) return 'username taken'
  const apiKeys = await apiKeysOf(db, known.id)
  await db
    .updateTable('auth_users')
    .set({ last_seen_at: sql<Date>`now()`, privy_id: privyId })
    .where('id', '=', known.id)
    .execute()
  const user = { id: known.id, username: known.username, referralCode: known.referral_code, isNew: false }
  return { user, apiKeys, newApiKey: null, referral: null, degraded: false }
}

async function signUp(db: Kysely<Database>, identity: Identity): Promise<AuthResult> {
  const { privyId, username, email, referralCode } = identity
  const user = await db
    .insertInto('auth_users')
    .values({ privy_id: privyId, username, email, referral_code: newReferralCode() })
    .returning(['id', 'username', 'referral_code'])
    .executeTakeFirstOrThrow()
  const { secret, prefix, hash } = newApiKey()
  await db.insertInto('api_keys').values({ user_id: user.id, prefix, key_hash: hash }).execute()
  const apiKeys = await apiKeysOf(db, user.id)
  const referral = referralCode === undefined ? null : await refer(db, user.id, referralCode)
  await db.updateTable('auth_users').set({ last_seen_at: sql<Date>`now()` }).where('id', '=', user.id).execute()
  return {
    user: { id: user.id, username: user.username, referralCode: user.referral_code, isNew: true },
    apiKeys,
    newApiKey: secret,
    referral,
    degraded: false,
  }
}

async function apiKeysOf(db: Kysely<Database>, userId: number): Promise<readonly ApiKey[]> {
  const active = db.selectFrom('api_keys').where('user_id', '=', userId).where('revoked_at', 'is', null)
  const first = await active.select('id').limit(1).executeTakeFirst()
  if (first === undefined) return []
  const keys = await active.select(['id', 'prefix', 'created_at']).orderBy('id').execute()
  return keys.map((key) => ({ id: key.id, prefix: key.prefix, createdAt: key.created_at.toISOString() }))
}

async function refer(db: Kysely<Database>, userId: number, code: string): Promise<ReferralOutcome> {
  const referrer = await db
    .selectFrom('auth_users')
    .select(['id', 'email'])
    .where('referral_code', '=', code)
    .executeTakeFirst()
  if (referrer === undefined) return 'unknown code'
  const already = await db.selectFrom('referrals').select('id').where('referred_id', '=', userId).executeTakeFirst()
  if (already !== undefined) return 'recorded'
  await db.insertInto('referrals').values({ referrer_id: referrer.id, referred_id: userId }).execute()
  await sql`
    update auth_users set
      referred_by = case when id = ${userId} then ${referrer.id}::int else referred_by end,
      referral_count = referral_count + case when id = ${userId} then 0 else 1 end
    where id in (${userId}, ${referrer.id})`.execute(db)
  await db
    .insertInto('email_outbox')
    .values({ recipient: referrer.email, template: 'referral_joined', about_user_id: userId })
    .execute()
  return 'recorded'
}
