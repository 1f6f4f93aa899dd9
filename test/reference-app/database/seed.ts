import { createHash } from 'node:crypto'
import type { Kysely } from 'kysely'
import { hashPassword } from '../login/password.ts'
import type { Database } from './schema.ts'

/** The password of every seeded user. */
export const SEED_PASSWORD = 'correct horse'

const NAMES = `ada grace linus alan barbara bjarne dennis donald edsger frances guido hedy james joan john karen ken larry
  leslie margaret mary niklaus radia ralph ray rich richard rob robert robin rosalind sandi shafi sophie steve susan
  tim tony vint yukihiro adele anita brian evelyn fei ivan jean katherine lynn mae`

/** Fifty users, always the same. */
export const SEED_USERS: readonly string[] = NAMES.split(/\s+/)

/** Adds the missing users; returns how many. Repeatable: existing users stay unchanged. */
export async function seedUsers(db: Kysely<Database>): Promise<number> {
  const present = await db.selectFrom('users').select('username').execute()
  const missing = await missingUsers(present.map(({ username }) => username))
  if (missing.length === 0) return 0
  const { numInsertedOrUpdatedRows } = await db
    .insertInto('users')
    .values([...missing])
    .onConflict((conflict) => conflict.column('username').doNothing())
    .executeTakeFirstOrThrow()
  return Number(numInsertedOrUpdatedRows ?? 0)
}

/** A row to seed, in any database. */
export interface SeedUser {
  readonly username: string
  readonly password_hash: string
}

/** The rows of the users that are not in `present`. */
export async function missingUsers(present: readonly string[]): Promise<readonly SeedUser[]> {
  const there = new Set(present)
  return Promise.all(
    SEED_USERS.filter((username) => !there.has(username)).map(async (username) => ({
      username,
      password_hash: await hashPassword(SEED_PASSWORD, seedSalt(username)),
    })),
  )
}

// Real salts are random. These are fixed, so that the seed is the same everywhere.
function seedSalt(username: string): Buffer {
  return createHash('sha256').update(`incidents seed ${username}`).digest().subarray(0, 16)
}
