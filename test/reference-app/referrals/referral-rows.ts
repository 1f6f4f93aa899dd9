import { type RawBuilder, sql } from 'kysely'
import type { ReferralStatus, TestStatus } from '../database/schema.ts'
import type { Referral, ReferralPage, ReferralTest, Window } from './contract.ts'
import { writeCursor } from './cursor.ts'

/** A referral with its patient, facility and practitioner, in one row. */
export interface ReferralRow {
  readonly id: number
  readonly status: ReferralStatus
  readonly note: string | null
  readonly created_at: Date
  readonly updated_at: Date
  readonly patient_id: number
  readonly patient_name: string
  readonly patient_born_on: string
  readonly facility_id: number
  readonly facility_name: string
  readonly practitioner_id: number
  readonly practitioner_name: string
}

/** One test of a referral. */
export interface TestRow {
  readonly id: number
  readonly referral_id: number
  readonly status: TestStatus
  readonly test_id: number
  readonly test_name: string
  readonly types: readonly string[]
}

/** The columns of a `ReferralRow`, from `REFERRALS`. */
export const REFERRAL_COLUMNS: RawBuilder<unknown> = sql`
  r.id, r.status, r.note, r.created_at, r.updated_at, r.patient_id, p.name as patient_name, p.born_on::text as patient_born_on,
  r.facility_id, f.name as facility_name, r.practitioner_id, d.name as practitioner_name`

/** Referrals joined with patient, facility and practitioner. */
export const REFERRALS: RawBuilder<unknown> = sql`
  clinic_referrals r join patients p on p.id = r.patient_id join facilities f on f.id = r.facility_id
  join practitioners d on d.id = r.practitioner_id`

/** The columns of a `TestRow`, from `TESTS`. */
export const TEST_COLUMNS: RawBuilder<unknown> = sql`
  rt.id, rt.referral_id, rt.status, rt.test_id, t.name as test_name, coalesce(tt.names, '{}') as types`

/** Tests of referrals, joined with the test and its types, of which there are few. */
export const TESTS: RawBuilder<unknown> = sql`
  referral_tests rt join tests t on t.id = rt.test_id
  left join (select test_id, array_agg(name order by id) as names from test_types group by test_id) tt on tt.test_id = t.id`

/**
 * The rest of the condition, the order, and one row more than the page, which tells whether there
 * is a next one.
 */
export function inWindow({ status, after, limit }: Window): RawBuilder<unknown> {
  const filter = status === undefined ? sql`` : sql`and r.status = ${status}`
  const from = after === undefined ? sql`` : sql`and (r.created_at, r.id) < (${after.createdAt}, ${after.id})`
  return sql`${filter} ${from} order by r.created_at desc, r.id desc limit ${limit + 1}`
}

/** The rows of the page, and the cursor of the next one. */
export function cutToWindow<Row extends ReferralRow>(
  rows: readonly Row[],
  { limit }: Window,
): { readonly rows: readonly Row[]; readonly nextCursor: ReferralPage['nextCursor'] } {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  const more = last !== undefined && rows.length > limit
  return { rows: shown, nextCursor: more ? writeCursor({ createdAt: last.created_at, id: last.id }) : null }
}

export function toReferral(row: ReferralRow, tests: readonly TestRow[]): Referral {
  return {
    id: row.id,
    status: row.status,
    note: row.note,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
    patient: { id: row.patient_id, name: row.patient_name, bornOn: row.patient_born_on },
    facility: { id: row.facility_id, name: row.facility_name },
    referredBy: { id: row.practitioner_id, name: row.practitioner_name },
    tests: tests.map(toTest),
  }
}

export function toTest(row: TestRow): ReferralTest {
  return { id: row.id, status: row.status, test: { id: row.test_id, name: row.test_name }, types: row.types }
}
