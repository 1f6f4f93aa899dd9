import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import type { Database, SecurityEvent } from '../database/schema.ts'
import type { Client, Credentials, LoginService, SignedIn } from './contract.ts'
import { verifyPassword } from './password.ts'
import { endSession, findSessionUser, startSession } from './sessions.ts'

/** The login over PostgreSQL. Its audit rows are written before the answer: the client waits for them. */
export function createLoginService(db: Kysely<Database>): LoginService {
  return {
    login: (credentials, client) => login(db, credentials, client),
    me: (token) => findSessionUser(db, token),
    logout: async (token, client) => {
      const user = await endSession(db, token)
      if (user === undefined) return
      await recordSecurityEvent(db, 'logout', user.id, user.username, client)
      await recordActivity(db, user.id, 'logout')
    },
  }
}

async function login(
  db: Kysely<Database>,
  { username, password }: Credentials,
  client: Client,
): Promise<SignedIn | undefined> {
  const known = await db
    .selectFrom('users')
    .select(['id', 'username', 'password_hash'])
    .where('username', '=', username)
    .executeTakeFirst()
  const right = await verifyPassword(password, known?.password_hash)
  if (known === undefined || !right) {
    await recordSecurityEvent(db, 'login_failed', known?.id ?? null, username, client)
    return undefined
  }
  const { last_login_at } = await db
    .updateTable('users')
    .set({ last_login_at: sql<Date>`now()` })
    .where('id', '=', known.id)
    .returning('last_login_at')
    .executeTakeFirstOrThrow()
  const token = await startSession(db, known.id)
  await recordSecurityEvent(db, 'login', known.id, known.username, client)
  await recordActivity(db, known.id, 'login')
  return {
    token,
    user: { id: known.id, username: known.username, lastLoginAt: last_login_at?.toISOString() ?? null },
  }
}

async function recordSecurityEvent(
  db: Kysely<Database>,
  event: SecurityEvent,
  userId: number | null,
  username: string,
  client: Client,
): Promise<void> {
  await db
    .insertInto('security_events')
    .values({ event, user_id: userId, username, ip: client.ip, user_agent: client.userAgent })
    .execute()
}

async function recordActivity(db: Kysely<Database>, userId: number, activity: 'login' | 'logout'): Promise<void> {
  await db.insertInto('user_activity').values({ user_id: userId, activity }).execute()
}
