import type { User } from './contract.ts'

/** The tables of the login in any database. Each method is one statement or one transaction. */
export interface LoginStore {
  findUser(username: string): Promise<KnownUser | undefined>
  /** Sets the last login to the database's own time, and returns it. */
  stampLogin(userId: number): Promise<string>
  /**
   * Starts a session of `SESSION_SECONDS`, and deletes expired ones of the user, so that the table
   * does not grow.
   */
  startSession(userId: number, tokenHash: Buffer): Promise<void>
  /** Finds the user of a session that has not expired. */
  findSessionUser(tokenHash: Buffer): Promise<User | undefined>
  endSession(tokenHash: Buffer): Promise<void>
}

export interface KnownUser {
  readonly id: number
  readonly username: string
  readonly passwordHash: string
}
