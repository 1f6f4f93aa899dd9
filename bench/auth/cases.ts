import { randomBytes } from 'node:crypto'
import type { Identity } from '../../test/reference-app/auth/contract.ts'
import { SEED_AUTH_USERS, seededAuthUser } from '../../test/reference-app/database/seed-auth.ts'

export const SIDES = ['before', 'after'] as const
export type Side = (typeof SIDES)[number]

export const PATHS: Readonly<Record<Side, string>> = { before: '/before/api/auth', after: '/api/auth' }

/** Those of whom each returns many times. */
const REGULARS = 100

/** A row of the incident's table. */
export interface Case {
  readonly name: string
  /** Who asks; different ones, so that nobody waits for a row of the database that another has. */
  identity(index: number): Identity
  /** Each kind of request once: between them lies what the case takes in queries. */
  readonly kinds: readonly (() => Identity)[]
  /** Whether all of them are to have asked before it is measured. */
  readonly isRemembered: boolean
  /** As the incident has it. */
  readonly claimed: { readonly queries: string; readonly latency: string; readonly p99: string }
}

/** The rows for one side, to be measured in this order: those who sign up in the first return in the others. */
export function casesOf(): readonly Case[] {
  const signedUp: Identity[] = []
  const keep = (identity: Identity): Identity => {
    signedUp.push(identity)
    return identity
  }
  const regular = (index: number): Identity => signedUp[index % signedUp.length] ?? returning(index)
  // Nobody else asks for these. Users 401 and 404 of the seed have one key and none.
  const kinds = [() => returning(401), () => returning(404)]
  return [
    {
      name: 'sign-up',
      identity: (index) =>
        keep(index % 2 === 0 ? stranger() : { ...stranger(), referralCode: seeded(index).referralCode }),
      kinds: [stranger, () => ({ ...stranger(), referralCode: seeded(1).referralCode })],
      isRemembered: false,
      claimed: { queries: '6–12 → 3–4', latency: '1000–1500 → 400–600', p99: '2000–5000 → 700–900' },
    },
    {
      name: 'returning user, cache miss',
      identity: regular,
      kinds,
      isRemembered: false,
      claimed: { queries: '3–4 → 1–2', latency: '400–600 → 250–350', p99: '1000–3000 → 400–500' },
    },
    {
      name: 'returning user, cache hit',
      identity: (index) => regular(index % REGULARS),
      kinds,
      isRemembered: true,
      claimed: { queries: '3–4 → 0', latency: '400–600 → 10–50', p99: '1000–3000 → 50–100' },
    },
  ]
}

/** Returning users and new ones; none of those whose queries are counted. */
export function anybody(index: number): Identity {
  return index % 2 === 0 ? returning(1 + (index % 400)) : stranger()
}

/**
 * Users as they come by Zipf's law: the k-th of them 1/k as often as the first.
 *
 * @param random numbers from 0 up to 1
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
    return crowd(shares.findIndex((share) => drawn < share))
  }
}

/** Who takes part in that: somebody of his own for each number. */
export function crowd(number: number): Identity {
  const name = `crowd${String(number).padStart(6, '0')}`
  return { privyId: `did:privy:${name}`, username: name, email: `${name}@example.org` }
}

function seeded(number: number): ReturnType<typeof seededAuthUser> {
  return seededAuthUser(1 + ((number - 1) % SEED_AUTH_USERS))
}

/** Every tenth has no identity yet: one who has stands in for him. */
function returning(number: number): Identity {
  const user = seeded(number)
  const { privyId, username, email } = user.linked ? user : seeded(number + 1)
  return { privyId, username, email }
}

/** Somebody new each time: nobody remembers him, so that he takes queries. */
export function stranger(): Identity {
  const name = randomBytes(8).toString('hex')
  return { privyId: `did:privy:${name}`, username: `bench_${name}`, email: `${name}@example.org` }
}
