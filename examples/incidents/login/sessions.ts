import { createHash, randomBytes } from 'node:crypto'
import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import type { Database } from '../database/schema.ts'
import type { User } from './contract.ts'
import { SESSION_SECONDS } from './contract.ts'

/** Starts a session and returns its token, 256 random bits of which only the hash is kept. */
export async function startSession(db: Kysely<Database>, userId: number): Promise<string> {
  const token = randomBytes(32).toString('base64url')
  await db
    // The user's expired sessions go at the same time, so that the table does not grow for ever.
    .with('expired', (query) =>
      query.deleteFrom('sessions').where('user_id', '=', userId).where('expires_at', '<=', sql<Date>`now()`),
    )
    .insertInto('sessions')
    .values({
      token_hash: hashToken(token),
      user_id: userId,
      expires_at: sql<Date>`now() + make_interval(secs => ${SESSION_SECONDS})`,
    })
    .execute()
  return token
}

/** The user of a session that has not expired. */
export async function findSessionUser(db: Kysely<Database>, token: string): Promise<User | undefined> {
  const row = await db
    .selectFrom('sessions')
    .innerJoin('users', 'users.id', 'sessions.user_id')
    .select(['users.id', 'users.username', 'users.last_login_at'])
    .where('token_hash', '=', hashToken(token))
    .where('expires_at', '>', sql<Date>`now()`)
    .executeTakeFirst()
  return row && { id: row.id, username: row.username, lastLoginAt: row.last_login_at?.toISOString() ?? null }
}

/** Ends a session; the user it belonged to, if there was one. */
export async function endSession(db: Kysely<Database>, token: string): Promise<User | undefined> {
  const user = await findSessionUser(db, token)
  await db.deleteFrom('sessions').where('token_hash', '=', hashToken(token)).execute()
  return user
}

function hashToken(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
