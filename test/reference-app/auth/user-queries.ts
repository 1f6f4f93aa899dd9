import type { Kysely, RawBuilder } from 'kysely'
import { sql } from 'kysely'
import type { Database } from '../database/schema.ts'
import type { ApiKey, Identity } from './contract.ts'
import { type NewApiKey, newReferralCode } from './new-api-key.ts'

export interface KnownUser {
  readonly id: number
  readonly username: string
  readonly referralCode: string
  /** Undefined if they were not requested. */
  readonly apiKeys: readonly ApiKey[] | undefined
}

/** Undefined if no user has this identity or name. */
export type Found = KnownUser | 'username taken' | undefined

/** The owner of a user name. */
export interface NameHolder {
  /** Null for a user from before the identity provider. */
  readonly privyId: string | null
}

interface FoundRow {
  readonly id: number | null
  readonly username: string
  readonly referral_code: string
  readonly keys: readonly { readonly id: number; readonly prefix: string; readonly created_at: string }[] | null
}

const KEYS: RawBuilder<unknown> = sql`(
  select coalesce(json_agg(json_build_object('id', k.id, 'prefix', k.prefix, 'created_at', k.created_at) order by k.id), '[]')
  from api_keys k where k.user_id = stamped.id and k.revoked_at is null
)`

/** Finds the user by identity, updates `last_seen_at`, and loads their keys, in one round trip. */
export async function findByPrivyId(db: Kysely<Database>, privyId: string): Promise<KnownUser | undefined> {
  const { rows } = await sql<FoundRow & { readonly id: number }>`
    with stamped as (
      update auth_users set last_seen_at = now() where privy_id = ${privyId}
      returning id, username, referral_code
    )
    select id, username, referral_code, ${KEYS} as keys from stamped`.execute(db)
  const row = rows[0]
  return row === undefined ? undefined : knownUser(row.id, row)
}

/** Finds the owner of a name; undefined if it is free. */
export async function findHolder(db: Kysely<Database>, username: string): Promise<NameHolder | undefined> {
  const row = await db.selectFrom('auth_users').select('privy_id').where('username', '=', username).executeTakeFirst()
  return row === undefined ? undefined : { privyId: row.privy_id }
}

/**
 * Finds the user by identity and by name, updates `last_seen_at`, and loads their keys, in one
 * round trip.
 */
export function findAndStampWithKeys(db: Kysely<Database>, identity: Identity): Promise<Found> {
  return find(db, identity, KEYS)
}

/** The same without the keys. */
export function findAndStamp(db: Kysely<Database>, identity: Identity): Promise<Found> {
  return find(db, identity, sql`null::json`)
}

/**
 * The identity takes precedence over the name. A name without an identity is from before the
 * provider, and gets this one. A name with another identity belongs to another user: then the row
 * has no id.
 */
async function find(db: Kysely<Database>, { privyId, username }: Identity, keys: RawBuilder<unknown>): Promise<Found> {
  const { rows } = await sql<FoundRow>`
    with known as (
      select id, privy_id, username, referral_code from auth_users
      where privy_id = ${privyId} or username = ${username}
      order by privy_id = ${privyId} desc nulls last
      limit 1
    ), stamped as (
      update auth_users u set last_seen_at = now(), privy_id = ${privyId}
      from known where u.id = known.id and (u.privy_id is null or u.privy_id = ${privyId})
      returning u.id
    )
    select stamped.id, known.username, known.referral_code, ${keys} as keys
    from known left join stamped on stamped.id = known.id`.execute(db)
  const row = rows[0]
  if (row === undefined) return undefined
  return row.id === null ? 'username taken' : knownUser(row.id, row)
}

function knownUser(id: number, row: FoundRow): KnownUser {
  const apiKeys = row.keys?.map(({ id, prefix, created_at }) => ({
    id,
    prefix,
    createdAt: new Date(created_at).toISOString(),
  }))
  return { id, username: row.username, referralCode: row.referral_code, apiKeys }
}

export interface InsertedUser {
  readonly id: number
  readonly username: string
  readonly referralCode: string
  readonly apiKey: ApiKey
}

/**
 * Adds the user and their first key, or neither. Undefined if the identity or the name has been
 * taken meanwhile.
 */
export async function insertUser(
  db: Kysely<Database>,
  { privyId, username, email }: Identity,
  key: NewApiKey,
): Promise<InsertedUser | undefined> {
  const { rows } = await sql<{ id: number; username: string; referral_code: string; key_id: number; created_at: Date }>`
    with added as (
      insert into auth_users (privy_id, username, email, referral_code, last_seen_at)
      values (${privyId}, ${username}, ${email}, ${newReferralCode()}, now())
      on conflict do nothing
      returning id, username, referral_code
    ), key as (
      insert into api_keys (user_id, prefix, key_hash)
      select id, ${key.prefix}, ${key.hash}::bytea from added
      returning id, user_id, created_at
    )
    select added.id, added.username, added.referral_code, key.id as key_id, key.created_at
    from added join key on key.user_id = added.id`.execute(db)
  const row = rows[0]
  if (row === undefined) return undefined
  const apiKey = { id: row.key_id, prefix: key.prefix, createdAt: row.created_at.toISOString() }
  return { id: row.id, username: row.username, referralCode: row.referral_code, apiKey }
}
