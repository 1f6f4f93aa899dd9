import type { Generated } from 'kysely'
import type { SecurityEvent } from '../schema.ts'

/**
 * The tables of the login in SQLite, after all migrations. Times are UTC strings:
 * `2026-01-31T09:30:00.000Z`.
 */
export interface SqliteTables {
  users: UsersTable
  sessions: SessionsTable
  security_events: SecurityEventsTable
  user_activity: UserActivityTable
}

interface UsersTable {
  id: Generated<number>
  username: string
  /** scrypt, in PHC string form. */
  password_hash: string
  created_at: Generated<string>
  last_login_at: string | null
}

interface SessionsTable {
  /** SHA-256 of the token: a reader of this table cannot sign in with it. */
  token_hash: Uint8Array
  user_id: number
  created_at: Generated<string>
  expires_at: string
}

interface SecurityEventsTable {
  /** The id of the deferred item that wrote the row. */
  id: string
  event: SecurityEvent
  /** Null if the name is unknown. */
  user_id: number | null
  /** As entered. */
  username: string
  ip: string
  user_agent: string
  created_at: Generated<string>
}

interface UserActivityTable {
  /** The id of the deferred item that wrote the row. */
  id: string
  user_id: number
  activity: 'login' | 'logout'
  created_at: Generated<string>
}
