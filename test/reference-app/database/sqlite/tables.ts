import type { Generated } from 'kysely'
import type { SecurityEvent } from '../schema.ts'

/** The login's tables over SQLite, as its migrations leave them. Times are texts in UTC: `2026-01-31T09:30:00.000Z`. */
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
  /** SHA-256 of the token: who reads this table cannot sign in with it. */
  token_hash: Uint8Array
  user_id: number
  created_at: Generated<string>
  expires_at: string
}

interface SecurityEventsTable {
  /** Of the work by which it was written. */
  id: string
  event: SecurityEvent
  /** Null when nobody of that name is known. */
  user_id: number | null
  /** As it was typed. */
  username: string
  ip: string
  user_agent: string
  created_at: Generated<string>
}

interface UserActivityTable {
  /** Of the work by which it was written. */
  id: string
  user_id: number
  activity: 'login' | 'logout'
  created_at: Generated<string>
}
