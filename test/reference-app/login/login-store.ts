import type { User } from './contract.ts'

/** What the login keeps, in whatever database: one method is one statement or one transaction. */
export interface LoginStore {
  findUser(username: string): Promise<KnownUser | undefined>
  /** Stamps the last login with the database's own time, and returns it. */
  stampLogin(userId: number): Promise<string>
  /** Starts a session of `SESSION_SECONDS`, and forgets those of this user that have expired, so that the table does not grow for ever. */
  startSession(userId: number, tokenHash: Buffer): Promise<void>
  /** The user of a session that has not expired. */
  findSessionUser(tokenHash: Buffer): Promise<User | undefined>
  endSession(tokenHash: Buffer): Promise<void>
}

export interface KnownUser {
  readonly id: number
  readonly username: string
  readonly passwordHash: string
}
