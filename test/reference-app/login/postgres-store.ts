import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import type { Database } from '../database/schema.ts'
import type { AuditStore } from './audit.ts'
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
        .with('timed-out', (query) =>
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
  }
}

export function createPostgresAuditStore(db: Kysely<Database>): AuditStore {
  return {
    async recordSecurityEvents(records) {
      await sql`
        insert into security_events (id, event, user_id, username, ip, user_agent, created_at)
        select given.id, given.event, users.id, given.username, given.ip, given.user_agent, given.at
        from unnest(
          ${records.map(({ id }) => id)}::text[],
          ${records.map(({ event }) => event)}::text[],
          ${records.map(({ userId }) => userId)}::int[],
          ${records.map(({ username }) => username)}::text[],
          ${records.map(({ client }) => client.ip)}::text[],
          ${records.map(({ client }) => client.userAgent)}::text[],
          ${records.map(({ at }) => at)}::timestamptz[]
        ) as given (id, event, user_id, username, ip, user_agent, at)
        left join users on users.id = given.user_id
        on conflict (id) do nothing`.execute(db)
    },

    async recordActivities(records) {
      await sql`
        insert into user_activity (id, user_id, activity, created_at)
        select given.id, users.id, given.activity, given.at
        from unnest(
          ${records.map(({ id }) => id)}::text[],
          ${records.map(({ userId }) => userId)}::int[],
          ${records.map(({ activity }) => activity)}::text[],
          ${records.map(({ at }) => at)}::timestamptz[]
        ) as given (id, user_id, activity, at)
        join users on users.id = given.user_id
        on conflict (id) do nothing`.execute(db)
    },
  }
}
