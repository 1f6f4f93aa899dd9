import { createHash, randomBytes } from 'node:crypto'

/** A key just made. Only prefix and hash are stored. */
export interface NewApiKey {
  readonly secret: string
  readonly prefix: string
  readonly hash: Buffer
}

/** A random API key, 256 bits. */
export function newApiKey(): NewApiKey {
  const secret = `pk_${randomBytes(32).toString('base64url')}`
  return { secret, prefix: secret.slice(0, 9), hash: createHash('sha256').update(secret).digest() }
}

/** A random referral code: what a new user hands to others. */
export function newReferralCode(): string {
  return randomBytes(5).toString('hex').toUpperCase()
}
