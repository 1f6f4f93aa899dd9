import { type Kysely, sql } from 'kysely'
import type { Database } from '../database/schema.ts'
import { REFERRAL_COLUMNS, REFERRALS, type ReferralRow, TEST_COLUMNS, TESTS, type TestRow } from './referral-rows.ts'

/** A referral with its tests, in one row. */
export interface WholeReferral extends ReferralRow {
  readonly tests: readonly TestRow[]
  /** The name of the requested facility; null if it does not exist. */
  readonly other_facility: string | null
}

/**
 * Loads a referral in one query; undefined if it does not exist.
 *
 * @param otherFacility a facility that it may be moved to
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
