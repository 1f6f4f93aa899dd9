import type { FastifyBaseLogger } from 'fastify'
import type { Kysely } from 'kysely'
import type { Database } from '../database/schema.ts'
import { openQueue } from '../open-queue.ts'
import type { DurableQueue } from '../punctual.ts'
import { recordReferral } from './record-referral.ts'
import type { SendLetters } from './send-letters.ts'

/** A user signed up with a code. */
export interface Referral {
  readonly userId: number
  readonly code: string
}

export interface ReferralSettings {
  readonly stateDir: string | undefined
  readonly log: FastifyBaseLogger
  readonly sendLetters: SendLetters
}

/**
 * Ten times the timeout of a letter: a batch must end within its timeout, and is retried as a
 * whole.
 */
const AT_A_TIME = 10

/**
 * Processes referrals after the response: validates the code, finds the referrer, updates both
 * users, and sends the referrer a letter. Every step is repeatable. An unknown code is not an
 * error: there is nothing to do.
 */
export function deferReferrals(db: Kysely<Database>, settings: ReferralSettings): DurableQueue<Referral> {
  const { stateDir, log, sendLetters } = settings
  return openQueue<Referral>(
    'referral',
    async (referrals) => {
      for (const { userId, code } of referrals) {
        const outcome = await recordReferral(db, userId, code)
        if (outcome === 'unknown code') log.info({ userId, code }, 'signed up with a unknown referral code')
      }
      await sendLetters(referrals.map(({ userId }) => userId))
    },
    { stateDir, log, batch: AT_A_TIME, timeout: '2m' },
  )
}
