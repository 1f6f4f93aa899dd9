import type { FastifyBaseLogger } from 'fastify'
import type { Kysely } from 'kysely'
import type { Database } from '../database/schema.ts'
import { openQueue } from '../open-queue.ts'
import type { DurableQueue } from '../punctual.ts'
import { recordReferral } from './record-referral.ts'
import type { SendLetters } from './send-letters.ts'

/** Somebody has signed up with a code. */
export interface Referral {
  readonly userId: number
  readonly code: string
}

export interface ReferralSettings {
  readonly stateDir: string | undefined
  readonly log: FastifyBaseLogger
  readonly sendLetters: SendLetters
}

/** What a letter takes at most, ten times: a batch is to end within its limit, and is tried again as a whole. */
const AT_A_TIME = 10

/**
 * All that a referral takes, after the response: the code is validated, the referrer found, both users are updated and the referrer gets a letter. Each step may be
 * repeated. A code that nobody has is no failure: there is nothing to be done.
 */
export function deferReferrals(db: Kysely<Database>, settings: ReferralSettings): DurableQueue<Referral> {
  const { stateDir, log, sendLetters } = settings
  return openQueue<Referral>(
    'referral',
    async (referrals) => {
      for (const { userId, code } of referrals) {
        const outcome = await recordReferral(db, userId, code)
        if (outcome === 'unknown code') log.info({ userId, code }, 'signed up with a referral code that nobody has')
      }
      await sendLetters(referrals.map(({ userId }) => userId))
    },
    { stateDir, log, batch: AT_A_TIME, timeout: '2m' },
  )
}
