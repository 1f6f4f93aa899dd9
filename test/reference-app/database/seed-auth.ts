import type { Kysely, Transaction } from 'kysely'
import { sql } from 'kysely'
import type { Database } from './schema.ts'

/** Number of seeded users of `auth`. */
export const SEED_AUTH_USERS = 500

/** A seeded user of `auth`: `number` is 1 to 500. */
export interface SeededAuthUser {
  readonly privyId: string
  readonly username: string
  readonly email: string
  readonly referralCode: string
  /** Number of their API keys: 0 to 3. */
  readonly keys: number
  /**
   * Every tenth user signed up before the identity provider: they are known by name only, until
   * they first sign in.
   */
  readonly linked: boolean
}

/** The seeded user of a number. */
export function seededAuthUser(number: number): SeededAuthUser {
  const digits = String(number).padStart(4, '0')
  return {
    privyId: `did:privy:seed${digits}`,
    username: `user${digits}`,
    email: `user${digits}@example.org`,
    referralCode: `REF${digits}`,
    keys: number % 4,
    linked: number % 10 !== 0,
  }
}

/**
 * Adds the missing users with their keys, atomically; returns how many. Repeatable: existing users
 * stay unchanged.
 */
export function seedAuthUsers(db: Kysely<Database>): Promise<number> {
  return db.transaction().execute(addMissing)
}

async function addMissing(db: Transaction<Database>): Promise<number> {
  const users = Array.from({ length: SEED_AUTH_USERS }, (_, index) => seededAuthUser(index + 1))
  const added = await db
    .insertInto('auth_users')
    .values(
      users.map(({ privyId, username, email, referralCode, linked }) => ({
        privy_id: linked ? privyId : null,
        username,
        email,
        referral_code: referralCode,
      })),
    )
    .onConflict((conflict) => conflict.doNothing())
    .returning(['id', 'username'])
    .execute()
  const wanted = new Map(users.map(({ username, keys }) => [username, keys]))
  const keys = added.flatMap(({ id, username }) =>
    Array.from({ length: wanted.get(username) ?? 0 }, (_, index) => ({ id, name: `${username} ${index}` })),
  )
  if (keys.length > 0) {
    await db
      .insertInto('api_keys')
      .values(
        // The hash of a text that is not a key, so that no one can use it.
        keys.map(({ id, name }) => ({
          user_id: id,
          prefix: `pk_${name.slice(4).replace(' ', '-')}`,
          key_hash: sql<Buffer>`sha256(convert_to(${`incidents seed ${name}`}, 'utf8'))`,
        })),
      )
      .execute()
  }
  return added.length
}
