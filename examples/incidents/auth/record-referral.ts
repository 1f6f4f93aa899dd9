import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import type { Database } from '../database/schema.ts'
import type { ReferralOutcome } from './contract.ts'

/**
 * Validates the code, finds the referrer, marks who was referred and "sends" the letter, in one statement: all of it or
 * nothing, and safe to repeat, as nobody is referred twice.
 */
export async function recordReferral(
  db: Kysely<Database>,
  userId: number,
  code: string,
): Promise<Extract<ReferralOutcome, string>> {
  const { rows } = await sql<{ id: number }>`
    with referrer as (
      select id, email from auth_users where referral_code = ${code} and id <> ${userId}
    ), referral as (
      insert into referrals (referrer_id, referred_id) select id, ${userId}::int from referrer
      on conflict (referred_id) do nothing
      returning referrer_id
    ), referred as (
      update auth_users set referred_by = referral.referrer_id from referral where auth_users.id = ${userId}
    ), letter as (
      insert into email_outbox (recipient, template, about_user_id)
      select referrer.email, 'referral_joined', ${userId}::int from referrer join referral on referral.referrer_id = referrer.id
    )
    select id from referrer`.execute(db)
  return rows.length === 0 ? 'unknown code' : 'recorded'
}
