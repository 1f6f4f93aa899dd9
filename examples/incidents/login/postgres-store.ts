import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import type { Database } from '../database/schema.ts'
import { SESSION_SECONDS } from './contract.ts'
import type { LoginStore } from './login-store.ts'

export function createPostgresStore(db: Kysely<Database>): LoginStore {
  return {
    async findUser(username) {
      return db
        .selectFrom('users')
        .select(['id', 'username', 'password_hash as passwordHash'])
        .where('username', '=', username)
        .executeTakeFirst()
    },

    async stampLogin(userId) {
      const { at } = await db
        .updateTable('users')
        .set({ last_login_at: sql<Date>`now()` })
        .where('id', '=', userId)
        .returning(sql<Date>`last_login_at`.as('at'))
        .executeTakeFirstOrThrow()
      return at.toISOString()
    },

    async startSession(userId, tokenHash) {
      await db
        .with('expired', (query) =>
          query.deleteFrom('sessions').where('user_id', '=', userId).where('expires_at', '<=', sql<Date>`now()`),
        )
        .insertInto('sessions')
        .values({
          token_hash: tokenHash,
          user_id: userId,
          expires_at: sql<Date>`now() + make_interval(secs => ${SESSION_SECONDS})`,
        })
        .execute()
    },

    async findSessionUser(tokenHash) {
      const row = await db
        .selectFrom('sessions')
        .innerJoin('users', 'users.id', 'sessions.user_id')
        .select(['users.id', 'users.username', 'users.last_login_at'])
        .where('token_hash', '=', tokenHash)
        .where('expires_at', '>', sql<Date>`now()`)
        .executeTakeFirst()
      return row && { id: row.id, username: row.username, lastLoginAt: row.last_login_at?.toISOString() ?? null }
    },

    async endSession(tokenHash) {
      await db.deleteFrom('sessions').where('token_hash', '=', tokenHash).execute()
    },

    async recordSecurityEvent({ event, userId, username, client }) {
      await db
        .insertInto('security_events')
        .values({ event, user_id: userId, username, ip: client.ip, user_agent: client.userAgent })
        .execute()
    },

    async recordActivity(userId, activity) {
      await db.insertInto('user_activity').values({ user_id: userId, activity }).execute()
    },
  }
}
