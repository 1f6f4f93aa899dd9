import { randomBytes } from 'node:crypto'
import type { Identity } from '../../test/reference-app/auth/contract.ts'
import { SEED_AUTH_USERS, seededAuthUser } from '../../test/reference-app/database/seed-auth.ts'

export const SIDES = ['before', 'after'] as const
export type Side = (typeof SIDES)[number]

export const PATHS: Readonly<Record<Side, string>> = { before: '/before/api/auth', after: '/api/auth' }

/** The users who return many times each. */
const FREQUENT_USERS = 100

/** A row of the incident's table. */
export interface Case {
  readonly name: string
  /** The user of a request. They differ, so that no request waits for a row lock of another. */
  identity(index: number): Identity
  /** One request of each kind; the minimum and the maximum of their queries are reported. */
  readonly kinds: readonly (() => Identity)[]
  /** Whether all users are in the cache before the measurement. */
  readonly isCached: boolean
  /** The claims of the incident report. */
  readonly claimed: { readonly queries: string; readonly latency: string; readonly p99: string }
}

/**
 * Returns the rows of one side, in the order of measurement: users who sign up in the first row
 * return in the others.
 */
export function casesOf(): readonly Case[] {
  const signedUp: Identity[] = []
  const keep = (identity: Identity): Identity => {
    signedUp.push(identity)
    return identity
  }
  const regular = (index: number): Identity => signedUp[index % signedUp.length] ?? returning(index)
  // No other request uses these. Of the seed, user 401 has one key and user 404 has none.
  const kinds = [() => returning(401), () => returning(404)]
  return [
    {
      name: 'sign-up',
      identity: (index) =>
        keep(index % 2 === 0 ? newUser() : { ...newUser(), referralCode: seeded(index).referralCode }),
      kinds: [newUser, () => ({ ...newUser(), referralCode: seeded(1).referralCode })],
      isCached: false,
      claimed: { queries: '6–12 → 3–4', latency: '1000–1500 → 400–600', p99: '2000–5000 → 700–900' },
    },
    {
      name: 'returning user, cache miss',
      identity: regular,
      kinds,
      isCached: false,
      claimed: { queries: '3–4 → 1–2', latency: '400–600 → 250–350', p99: '1000–3000 → 400–500' },
    },
    {
      name: 'returning user, cache hit',
      identity: (index) => regular(index % FREQUENT_USERS),
      kinds,
      isCached: true,
      claimed: { queries: '3–4 → 0', latency: '400–600 → 10–50', p99: '1000–3000 → 50–100' },
    },
  ]
}

/** Returns a returning or a new user, other than those whose queries are counted. */
export function anyUser(index: number): Identity {
  return index % 2 === 0 ? returning(1 + (index % 400)) : newUser()
}

/**
 * Draws users by Zipf's law: user k with 1/k of the probability of user 1.
 *
 * @param random returns numbers from 0 (inclusive) to 1 (exclusive)
 */
export function zipf(users: number, random: () => number): () => Identity {
  const shares: number[] = []
  let sum = 0
  for (let rank = 1; rank <= users; rank++) {
    sum += 1 / rank
    shares.push(sum)
  }
  return () => {
    const drawn = random() * sum
    return zipfUser(shares.findIndex((share) => drawn < share))
  }
}

/** Returns the user with this number in the Zipf measurement. */
export function zipfUser(number: number): Identity {
  const name = `zipf${String(number).padStart(6, '0')}`
  return { privyId: `did:privy:${name}`, username: name, email: `${name}@example.org` }
}

function seeded(number: number): ReturnType<typeof seededAuthUser> {
  return seededAuthUser(1 + ((number - 1) % SEED_AUTH_USERS))
}

/** Returns a seeded user. Every tenth has no identity yet and is replaced by the next one. */
function returning(number: number): Identity {
  const user = seeded(number)
  const { privyId, username, email } = user.linked ? user : seeded(number + 1)
  return { privyId, username, email }
}

/** Returns a new user, who is in no cache. */
export function newUser(): Identity {
  const name = randomBytes(8).toString('hex')
  return { privyId: `did:privy:${name}`, username: `bench_${name}`, email: `${name}@example.org` }
}
