import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import type { Database } from '../database/schema.ts'

/**
 * Validates the code, finds the referrer, updates both users, and puts the letter into the outbox,
 * in one statement. Atomic and repeatable: a user can be referred only once.
 */
export async function recordReferral(
  db: Kysely<Database>,
  userId: number,
  code: string,
): Promise<'recorded' | 'unknown code'> {
  const { rows } = await sql<{ id: number }>`
    with referrer as (
      select id, email from auth_users where referral_code = ${code} and id <> ${userId}
    ), referral as (
      insert into referrals (referrer_id, referred_id) select id, ${userId}::int from referrer
      on conflict (referred_id) do nothing
      returning referrer_id
    ), referred as (
      update auth_users set referred_by = referral.referrer_id from referral where auth_users.id = ${userId}
    ), credited as (
      update auth_users set referral_count = referral_count + 1 from referral where auth_users.id = referral.referrer_id
    ), letter as (
      insert into email_outbox (recipient, template, about_user_id)
      select referrer.email, 'referral_joined', ${userId}::int from referrer join referral on referral.referrer_id = referrer.id
    )
    select id from referrer`.execute(db)
  return rows.length === 0 ? 'unknown code' : 'recorded'
}
