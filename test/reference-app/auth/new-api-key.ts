import { createHash, randomBytes } from 'node:crypto'

/** A new key. Only the prefix and the hash are stored. */
export interface NewApiKey {
  readonly secret: string
  readonly prefix: string
  readonly hash: Buffer
}

/** Generates a random API key of 256 bits. */
export function newApiKey(): NewApiKey {
  const secret = `pk_${randomBytes(32).toString('base64url')}`
  return { secret, prefix: secret.slice(0, 9), hash: createHash('sha256').update(secret).digest() }
}

/** Generates a random referral code, which a new user passes on. */
export function newReferralCode(): string {
  return randomBytes(5).toString('hex').toUpperCase()
}
