import { type Kysely, sql } from 'kysely'
import type { Database, TestStatus } from '../database/schema.ts'
import type {
  PractitionerPage,
  Referral,
  ReferralChange,
  ReferralPage,
  ReferralService,
  ReferralTest,
  Refusal,
  Summary,
  Window,
} from './contract.ts'
import { COUNTS, isTechnician, seenBy, summaryOf } from './owners.ts'
import {
  cutToWindow,
  inWindow,
  REFERRAL_COLUMNS,
  REFERRALS,
  type ReferralRow,
  TEST_COLUMNS,
  TESTS,
  type TestRow,
  toReferral,
  toTest,
} from './referral-rows.ts'
import { conflictOfReferral, conflictOfTest, OPEN_TESTS } from './rules.ts'

/**
 * The service of the third incident: one query for a list plus one for each of its rows, 5 to 7 for
 * a single referral, and nothing that prevents lost updates. It also opened a connection per
 * request; here it has a pool, so that only the queries differ.
 */
export function createReferralsBefore(db: Kysely<Database>): ReferralService {
  return {
    ofPractitioner: (id, window) => ofPractitioner(db, id, window),
    ofTechnician: (id, window) => ofTechnician(db, id, window),
    find: (id) => find(db, id),
    change: (id, change) => changeReferral(db, id, change),
    changeTest: (id, status) => changeTest(db, id, status),
  }
}

async function ofPractitioner(db: Kysely<Database>, id: number, window: Window): Promise<PractitionerPage | undefined> {
  const counts = sql`(select to_json(c) from (select ${COUNTS} from clinic_referrals r where r.practitioner_id = ${id}) c)`
  const { rows } = await sql<ReferralRow & { summary: Summary }>`
    select ${REFERRAL_COLUMNS}, ${counts} as summary from ${REFERRALS}
    where r.practitioner_id = ${id} ${inWindow(window)}`.execute(db)
  const summary = rows[0]?.summary ?? (await summaryOf(db, id))
  return summary === undefined ? undefined : { ...(await pageOf(db, rows, window)), summary }
}

async function ofTechnician(db: Kysely<Database>, id: number, window: Window): Promise<ReferralPage | undefined> {
  const { rows } = await sql<ReferralRow>`
    select ${REFERRAL_COLUMNS} from ${REFERRALS} where ${seenBy(id)} ${inWindow(window)}`.execute(db)
  if (rows.length === 0 && !(await isTechnician(db, id))) return undefined
  return pageOf(db, rows, window)
}

async function pageOf(db: Kysely<Database>, found: readonly ReferralRow[], window: Window): Promise<ReferralPage> {
  const { rows, nextCursor } = cutToWindow(found, window)
  const items: Referral[] = []
  for (const row of rows) items.push(toReferral(row, await testsOf(db, row.id)))
  return { items, nextCursor }
}

async function testsOf(db: Kysely<Database>, referralId: number): Promise<readonly TestRow[]> {
  const { rows } = await sql<TestRow>`
    select ${TEST_COLUMNS} from ${TESTS} where rt.referral_id = ${referralId} order by rt.id`.execute(db)
  return rows
}

async function find(db: Kysely<Database>, id: number): Promise<Referral | undefined> {
  const referral = await db.selectFrom('clinic_referrals').selectAll().where('id', '=', id).executeTakeFirst()
  if (referral === undefined) return undefined
  return complete(db, referral, await testsOf(db, id))
}

type BareReferral = Pick<
  ReferralRow,
  'id' | 'status' | 'note' | 'created_at' | 'updated_at' | 'patient_id' | 'facility_id' | 'practitioner_id'
>

/** Loads the single relations of a referral, one after another. */
async function complete(db: Kysely<Database>, bare: BareReferral, tests: readonly TestRow[]): Promise<Referral> {
  const patient = await db
    .selectFrom('patients')
    .select(['name', sql<string>`born_on::text`.as('born_on')])
    .where('id', '=', bare.patient_id)
    .executeTakeFirstOrThrow()
  const nameIn = async (table: 'facilities' | 'practitioners', id: number): Promise<string> =>
    (await db.selectFrom(table).select('name').where('id', '=', id).executeTakeFirstOrThrow()).name
  const row: ReferralRow = {
    ...bare,
    patient_name: patient.name,
    patient_born_on: patient.born_on,
    facility_name: await nameIn('facilities', bare.facility_id),
    practitioner_name: await nameIn('practitioners', bare.practitioner_id),
  }
  return toReferral(row, tests)
}

async function changeReferral(db: Kysely<Database>, id: number, change: ReferralChange): Promise<Referral | Refusal> {
  const referral = await db.selectFrom('clinic_referrals').selectAll().where('id', '=', id).executeTakeFirst()
  if (referral === undefined) return 'not found'
  const { status = referral.status, note = referral.note, facilityId = referral.facility_id } = change
  if (facilityId !== referral.facility_id) {
    const facility = await db.selectFrom('facilities').select('id').where('id', '=', facilityId).executeTakeFirst()
    if (facility === undefined) return 'no such facility'
  }
  const tests = await testsOf(db, id)
  const openTests = tests.filter((test) => OPEN_TESTS.includes(test.status)).length
  const conflict = conflictOfReferral({ status: referral.status, facilityId: referral.facility_id, openTests }, change)
  if (conflict !== undefined) return conflict
  if (status === referral.status && note === referral.note && facilityId === referral.facility_id) {
    return complete(db, referral, tests)
  }
  const changed = await db
    .updateTable('clinic_referrals')
    .set({ status, note, facility_id: facilityId, updated_at: sql<Date>`now()` })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow()
  return complete(db, changed, tests)
}

async function changeTest(db: Kysely<Database>, id: number, status: TestStatus): Promise<ReferralTest | Refusal> {
  const { rows } = await sql<TestRow>`select ${TEST_COLUMNS} from ${TESTS} where rt.id = ${id}`.execute(db)
  const test = rows[0]
  if (test === undefined) return 'not found'
  const referral = await db
    .selectFrom('clinic_referrals')
    .select('status')
    .where('id', '=', test.referral_id)
    .executeTakeFirstOrThrow()
  const conflict = conflictOfTest(test.status, referral.status, status)
  if (conflict !== undefined) return conflict
  if (status !== test.status) await db.updateTable('referral_tests').set({ status }).where('id', '=', id).execute()
  return toTest({ ...test, status })
}
