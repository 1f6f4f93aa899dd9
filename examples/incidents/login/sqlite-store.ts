import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import type { SqliteTables } from '../database/sqlite/tables.ts'
import { utcIn, utcNow } from '../database/sqlite/utc-time.ts'
import { SESSION_SECONDS } from './contract.ts'
import type { LoginStore } from './login-store.ts'

export function createSqliteStore(db: Kysely<SqliteTables>): LoginStore {
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
        .set({ last_login_at: utcNow() })
        .where('id', '=', userId)
        .returning(sql<string>`last_login_at`.as('at'))
        .executeTakeFirstOrThrow()
      return at
    },

    async startSession(userId, tokenHash) {
      // SQLite has no `with … delete`; two statements in one transaction take the file's lock once.
      await db.transaction().execute(async (tx) => {
        await tx.deleteFrom('sessions').where('user_id', '=', userId).where('expires_at', '<=', utcNow()).execute()
        await tx
          .insertInto('sessions')
          .values({ token_hash: tokenHash, user_id: userId, expires_at: utcIn(SESSION_SECONDS) })
          .execute()
      })
    },

    async findSessionUser(tokenHash) {
      return db
        .selectFrom('sessions')
        .innerJoin('users', 'users.id', 'sessions.user_id')
        .select(['users.id', 'users.username', 'users.last_login_at as lastLoginAt'])
        .where('token_hash', '=', tokenHash)
        .where('expires_at', '>', utcNow())
        .executeTakeFirst()
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
