import type { ScryptOptions } from 'node:crypto'
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'

/**
 * Hashes passwords with scrypt (RFC 7914) on the thread pool, without blocking the event loop.
 * Stored as a PHC string that contains the cost, so that the cost can be raised and old hashes
 * still verify.
 */

// N = 2^14, r = 8, p = 1: 16 MiB and about 30 ms, the default of Node. OWASP recommends p = 5 at
// this N; this app demonstrates waits, so it uses less CPU.
const COST = { ln: 14, r: 8, p: 1 } as const
const KEY_BYTES = 32
const FORM = /^\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([\w+/]+)\$([\w+/]+)$/

/** Hashes a password, with a random salt by default. */
export async function hashPassword(password: string, salt: Buffer = randomBytes(16)): Promise<string> {
  const key = await derive(password, salt, KEY_BYTES, { N: 2 ** COST.ln, r: COST.r, p: COST.p })
  return `$scrypt$ln=${COST.ln},r=${COST.r},p=${COST.p}$${encode(salt)}$${encode(key)}`
}

/**
 * Returns whether `password` matches `hash`. Without a hash (an unknown user) it does the same work
 * and returns false, so that the response time does not reveal which names exist. Throws on an
 * invalid hash.
 */
export async function verifyPassword(password: string, hash: string | undefined): Promise<boolean> {
  const match = FORM.exec(hash ?? NO_USER_HASH)
  if (match === null) throw new Error('a stored password hash does not have the form $scrypt$ln=…,r=…,p=…$salt$hash')
  const [, ln, r, p, salt = '', expected = ''] = match
  const wanted = Buffer.from(expected, 'base64')
  const cost = { N: 2 ** Number(ln), r: Number(r), p: Number(p) }
  const key = await derive(password, Buffer.from(salt, 'base64'), wanted.length, cost)
  return timingSafeEqual(key, wanted) && hash !== undefined
}

function derive(password: string, salt: Buffer, length: number, cost: ScryptOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // Unicode has several forms of one letter, which must match across keyboards (RFC 8265).
    scrypt(password.normalize('NFC'), salt, length, { ...cost, maxmem: 256 * 1024 * 1024 }, (error, key) => {
      if (error === null) resolve(key)
      else reject(error)
    })
  })
}

function encode(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '')
}

// No password matches it: a hash never consists of zero bytes only.
const NO_USER_HASH = `$scrypt$ln=${COST.ln},r=${COST.r},p=${COST.p}$${encode(Buffer.alloc(16))}$${encode(Buffer.alloc(KEY_BYTES))}`
