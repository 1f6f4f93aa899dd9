import { createHash, randomBytes } from 'node:crypto'

/** A new session's token: 256 random bits, of which only the hash is kept. */
export function newToken(): string {
  return randomBytes(32).toString('base64url')
}

export function hashToken(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
