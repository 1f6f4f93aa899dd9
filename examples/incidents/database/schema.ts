import type { Generated } from 'kysely'

/** The tables, as the migrations leave them. */
export interface Database {
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
  created_at: Generated<Date>
  last_login_at: Date | null
}

interface SessionsTable {
  /** SHA-256 of the token: who reads this table cannot sign in with it. */
  token_hash: Buffer
  user_id: number
  created_at: Generated<Date>
  expires_at: Date
}

export type SecurityEvent = 'login' | 'login_failed' | 'logout'

interface SecurityEventsTable {
  id: Generated<string>
  event: SecurityEvent
  /** Null when nobody of that name is known. */
  user_id: number | null
  /** As it was typed. */
  username: string
  ip: string
  user_agent: string
  created_at: Generated<Date>
}

interface UserActivityTable {
  id: Generated<string>
  user_id: number
  activity: 'login' | 'logout'
  created_at: Generated<Date>
}
