import { type Kysely, sql } from 'kysely'
import type { Database } from '../database/schema.ts'
import { type Batch, batch, withQueryTimeout } from '../punctual.ts'
import { changeReferral, changeTest } from './change-queries.ts'
import type { PractitionerPage, ReferralPage, ReferralService, Window } from './contract.ts'
import { isTechnician, seenBy, summaryOf } from './owners.ts'
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
} from './referral-rows.ts'
import { findWhole } from './whole-referral.ts'

type TestsOf = Batch<number, readonly TestRow[]>

/** Covers all queries of one request. */
const TIMEOUT = '5s'
/** The longest page; ids take little space in a query. */
const MOST_REFERRALS = 1_000

/**
 * The service on Punctual: a list is one query for its rows with joins, one for all their tests,
 * and one for the counts, at any length. A single referral is one query, a change of it two, of
 * which the second only changes what the first has seen.
 */
export function createReferralsAfter(db: Kysely<Database>): ReferralService {
  const testsOf: TestsOf = batch('tests of referrals', (ids: readonly number[]) => loadTests(db, ids), {
    max: MOST_REFERRALS,
    missing: () => [],
  })
  const limited = <T>(work: () => Promise<T>): Promise<T> => withQueryTimeout('referrals', TIMEOUT, work)
  return {
    ofPractitioner: (id, window) => limited(() => ofPractitioner(db, testsOf, id, window)),
    ofTechnician: (id, window) => limited(() => ofTechnician(db, testsOf, id, window)),
    find: (id) =>
      limited(async () => {
        const found = await findWhole(db, id)
        return found === undefined ? undefined : toReferral(found, found.tests)
      }),
    change: (id, change) => limited(() => changeReferral(db, id, change)),
    changeTest: (id, status) => limited(() => changeTest(db, id, status)),
  }
}

async function loadTests(db: Kysely<Database>, ids: readonly number[]): Promise<Map<number, TestRow[]>> {
  const { rows } = await sql<TestRow>`
    select ${TEST_COLUMNS} from ${TESTS} where rt.referral_id = any(${ids}::int[]) order by rt.id`.execute(db)
  return Map.groupBy(rows, (row) => row.referral_id)
}

async function ofPractitioner(
  db: Kysely<Database>,
  testsOf: TestsOf,
  id: number,
  window: Window,
): Promise<PractitionerPage | undefined> {
  const list = sql<ReferralRow>`
    select ${REFERRAL_COLUMNS} from ${REFERRALS} where r.practitioner_id = ${id} ${inWindow(window)}`
  const [summary, { rows }] = await Promise.all([summaryOf(db, id), list.execute(db)])
  return summary === undefined ? undefined : { ...(await pageOf(testsOf, rows, window)), summary }
}

async function ofTechnician(
  db: Kysely<Database>,
  testsOf: TestsOf,
  id: number,
  window: Window,
): Promise<ReferralPage | undefined> {
  const { rows } = await sql<ReferralRow>`
    select ${REFERRAL_COLUMNS} from ${REFERRALS} where ${seenBy(id)} ${inWindow(window)}`.execute(db)
  if (rows.length === 0 && !(await isTechnician(db, id))) return undefined
  return pageOf(testsOf, rows, window)
}

/**
 * This fixes what looks like the bug: each row asks for its tests, but all are loaded in one query.
 */
async function pageOf(testsOf: TestsOf, found: readonly ReferralRow[], window: Window): Promise<ReferralPage> {
  const { rows, nextCursor } = cutToWindow(found, window)
  return { items: await Promise.all(rows.map(async (row) => toReferral(row, await testsOf(row.id)))), nextCursor }
}
