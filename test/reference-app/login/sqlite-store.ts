import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import type { SqliteTables } from '../database/sqlite/tables.ts'
import { utcIn, utcNow } from '../database/sqlite/utc-time.ts'
import type { AuditStore } from './audit.ts'
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
      // SQLite has no `with … delete`; two statements in one transaction lock the file once.
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
  }
}

export function createSqliteAuditStore(db: Kysely<SqliteTables>): AuditStore {
  return {
    async recordSecurityEvents(records) {
      await sql`
        insert into security_events (id, event, user_id, username, ip, user_agent, created_at)
        select value ->> 'id', value ->> 'event', users.id, value ->> 'username',
          value ->> '$.client.ip', value ->> '$.client.userAgent', value ->> 'at'
        from json_each(${JSON.stringify(records)}) left join users on users.id = value ->> 'userId'
        where true
        on conflict (id) do nothing`.execute(db)
    },

    async recordActivities(records) {
      await sql`
        insert into user_activity (id, user_id, activity, created_at)
        select value ->> 'id', users.id, value ->> 'activity', value ->> 'at'
        from json_each(${JSON.stringify(records)}) join users on users.id = value ->> 'userId'
        where true
        on conflict (id) do nothing`.execute(db)
    },
  }
}
