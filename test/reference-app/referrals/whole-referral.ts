import { type Kysely, sql } from 'kysely'
import type { Database } from '../database/schema.ts'
import { REFERRAL_COLUMNS, REFERRALS, type ReferralRow, TEST_COLUMNS, TESTS, type TestRow } from './referral-rows.ts'

/** A referral with its tests, in one row. */
export interface WholeReferral extends ReferralRow {
  readonly tests: readonly TestRow[]
  /** The name of the facility that was asked for beside it; null: there is none. */
  readonly other_facility: string | null
}

/**
 * One query for all of it. Undefined: there is no such referral.
 *
 * @param otherFacility a facility it may be given to
 */
export async function findWhole(
  db: Kysely<Database>,
  id: number,
  otherFacility: number | null = null,
): Promise<WholeReferral | undefined> {
  const { rows } = await sql<WholeReferral>`
    select ${REFERRAL_COLUMNS}, (
      select coalesce(json_agg(x order by x.id), '[]')
      from (select ${TEST_COLUMNS} from ${TESTS} where rt.referral_id = r.id) x
    ) as tests, (select name from facilities where id = ${otherFacility}) as other_facility
    from ${REFERRALS} where r.id = ${id}`.execute(db)
  return rows[0]
}
