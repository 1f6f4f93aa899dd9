import { randomBytes } from 'node:crypto'
import type { Identity } from '../../examples/incidents/auth/contract.ts'
import { SEED_AUTH_USERS, seededAuthUser } from '../../examples/incidents/database/seed-auth.ts'

export const SIDES = ['before', 'after'] as const
export type Side = (typeof SIDES)[number]

export const PATHS: Readonly<Record<Side, string>> = { before: '/before/api/auth', after: '/api/auth' }

/** A row of the incident's table. */
export interface Case {
  readonly name: string
  /** Who asks; different ones, so that nobody waits for a row of the database that another has. */
  identity(index: number): Identity
  /** Each kind of request once: between them lies what the case takes in queries. */
  readonly kinds: readonly (() => Identity)[]
  /** As the incident has it. */
  readonly claimed: { readonly queries: string; readonly latency: string; readonly p99: string }
}

export const CASES: readonly Case[] = [
  {
    name: 'returning user, no cache',
    identity: (index) => returning(1 + index),
    // Users 1 and 4 of the seed have one key and none.
    kinds: [() => returning(1), () => returning(4)],
    claimed: { queries: '3–4 → 1–2', latency: '400–600 → 250–350', p99: '1000–3000 → 400–500' },
  },
  {
    name: 'sign-up',
    identity: (index) => (index % 2 === 0 ? stranger() : { ...stranger(), referralCode: seeded(index).referralCode }),
    kinds: [stranger, () => ({ ...stranger(), referralCode: seeded(1).referralCode })],
    claimed: { queries: '6–12 → 3–4', latency: '1000–1500 → 400–600', p99: '2000–5000 → 700–900' },
  },
]

/** The row that waits for a later issue. */
export const CACHED: { readonly name: string; readonly claimed: Case['claimed'] } = {
  name: 'returning user, cache hit',
  claimed: { queries: '3–4 → 0', latency: '400–600 → 10–50', p99: '1000–3000 → 50–100' },
}

/** Returning users and new ones. */
export function anybody(index: number): Identity {
  return index % 2 === 0 ? returning(1 + index) : stranger()
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

function stranger(): Identity {
  const name = randomBytes(8).toString('hex')
  return { privyId: `did:privy:${name}`, username: `bench_${name}`, email: `${name}@example.org` }
}
