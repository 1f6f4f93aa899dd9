import { type Kysely, sql } from 'kysely'
import type { Database, ReferralStatus, TestStatus } from '../database/schema.ts'
import type { Conflict, Referral, ReferralChange, ReferralTest, Refusal } from './contract.ts'
import { TEST_COLUMNS, TESTS, type TestRow, toReferral, toTest } from './referral-rows.ts'
import { conflictOfReferral, conflictOfTest, OPEN_TESTS } from './rules.ts'
import { findWhole, type WholeReferral } from './whole-referral.ts'

/** How often to retry when another change comes first. */
const ATTEMPTS = 3
const CONTESTED: Conflict = {
  code: 'CONTESTED',
  conflict: 'The referral was changed meanwhile. Reload it and try again.',
}

/**
 * Two queries: the current state, then the change, which only applies if the state is still the
 * same.
 */
export async function changeReferral(
  db: Kysely<Database>,
  id: number,
  change: ReferralChange,
): Promise<Referral | Refusal> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const now = await findWhole(db, id, change.facilityId)
    if (now === undefined) return 'not found'
    if (change.facilityId !== undefined && now.other_facility === null) return 'no such facility'
    const openTests = now.tests.filter(({ status }) => OPEN_TESTS.includes(status)).length
    const conflict = conflictOfReferral({ status: now.status, facilityId: now.facility_id, openTests }, change)
    if (conflict !== undefined) return conflict
    const wanted = {
      ...now,
      status: change.status ?? now.status,
      note: change.note === undefined ? now.note : change.note,
      facility_id: change.facilityId ?? now.facility_id,
      facility_name: now.other_facility ?? now.facility_name,
    }
    const isSame = wanted.status === now.status && wanted.note === now.note && wanted.facility_id === now.facility_id
    const stored = isSame ? now : await storeChange(db, now, change)
    if (stored !== undefined) {
      return toReferral({ ...wanted, note: stored.note, updated_at: stored.updated_at }, now.tests)
    }
  }
  return CONTESTED
}

/**
 * Returns the stored state; undefined if the state has changed, and the rules must check again.
 * Only the named fields are written: a concurrent change of the note is kept.
 */
async function storeChange(
  db: Kysely<Database>,
  now: WholeReferral,
  { status, note, facilityId }: ReferralChange,
): Promise<Pick<WholeReferral, 'note' | 'updated_at'> | undefined> {
  return (
    db
      .updateTable('clinic_referrals as r')
      // Kysely omits undefined values.
      .set({ status, note, facility_id: facilityId, updated_at: sql<Date>`now()` })
      .where('r.id', '=', now.id)
      .where('r.status', '=', now.status)
      .where('r.facility_id', '=', now.facility_id)
      .returning(['r.note', 'r.updated_at'])
      .executeTakeFirst()
  )
}

interface TestWithReferral extends TestRow {
  readonly referral_status: ReferralStatus
}

/**
 * Two queries, in the same way. The lock on the referral keeps its state until the test is changed.
 */
export async function changeTest(
  db: Kysely<Database>,
  id: number,
  status: TestStatus,
): Promise<ReferralTest | Refusal> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const { rows } = await sql<TestWithReferral>`
      select ${TEST_COLUMNS}, r.status as referral_status
      from ${TESTS} join clinic_referrals r on r.id = rt.referral_id where rt.id = ${id}`.execute(db)
    const now = rows[0]
    if (now === undefined) return 'not found'
    const conflict = conflictOfTest(now.status, now.referral_status, status)
    if (conflict !== undefined) return conflict
    if (status === now.status) return toTest(now)
    const { numAffectedRows } = await sql`
      with referral as (
        select id from clinic_referrals where id = ${now.referral_id} and status = ${now.referral_status} for share
      )
      update referral_tests rt set status = ${status} from referral
      where rt.id = ${id} and rt.status = ${now.status} and rt.referral_id = referral.id`.execute(db)
    if (numAffectedRows === 1n) return toTest({ ...now, status })
  }
  return CONTESTED
}
