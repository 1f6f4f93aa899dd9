import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import type { Database } from './schema.ts'

/**
 * What is seeded for the referrals of the clinic. Practitioners 1 to 10 have 1,200 referrals each,
 * the others 200; every facility has 1,000.
 */
export const SEED_CLINIC = {
  facilities: 20,
  practitioners: 50,
  technicians: 60,
  patients: 5_000,
  tests: 30,
  referrals: 20_000,
  referralTests: 60_000,
} as const

/**
 * Adds all rows once, always the same; nothing if a facility exists. They are generated inside the
 * database, one statement per table, in about two seconds. Returns whether they were added.
 */
export async function seedReferrals(db: Kysely<Database>): Promise<boolean> {
  const added = await db.transaction().execute(async (transaction) => {
    const present = await transaction.selectFrom('facilities').select('id').limit(1).executeTakeFirst()
    if (present !== undefined) return false
    for (const statement of STATEMENTS) await sql.raw(statement).execute(transaction)
    return true
  })
  // The planner must not depend on autovacuum for row counts and visibility.
  if (added) await sql.raw(`vacuum (analyze) ${[...TABLES, 'test_types'].join(', ')}`).execute(db)
  return added
}

const { facilities, practitioners, technicians, patients, tests, referrals } = SEED_CLINIC

/** A repeatable pseudo-random number from 0 up to `below`. */
function scattered(of: string, below: number): string {
  return `(((${of})::bigint * 2654435761 % 4294967296) / 65536 % ${below})::integer`
}

/** One of `many`, from 1, each equally often and independent of other columns. */
function dealt(many: number): string {
  return `1 + (i * 7 + i / ${many}) % ${many}`
}

const pick = (names: string, index: string): string => {
  const list = names.split(' ')
  return `(array[${list.map((name) => `'${name}'`).join(', ')}])[1 + ${scattered(index, list.length)}]`
}

const FIRST =
  'Ada Boris Chen Dalia Emil Fatima Goran Hana Igor Jana Karim Lena Milan Nora Omar Petra Rosa Sven Tara Yusuf'
const LAST =
  'Adler Bauer Costa Dahl Eriksen Fischer Garcia Horvat Ivanov Jensen Kovac Lopez Meyer Novak Okafor Petrov Rossi'
const person = (i: string): string => `${pick(FIRST, i)} || ' ' || ${pick(LAST, `${i} * 31 + 7`)}`

const TABLES = ['facilities', 'practitioners', 'technicians', 'patients', 'tests', 'clinic_referrals', 'referral_tests']

const STATEMENTS: readonly string[] = [
  `insert into facilities (id, name) select i, 'Facility ' || i from generate_series(1, ${facilities}) i`,
  `insert into practitioners (id, facility_id, name)
   select i, 1 + i % ${facilities}, 'Dr. ' || ${person('i')} from generate_series(1, ${practitioners}) i`,
  `insert into technicians (id, facility_id, name)
   select i, 1 + i % ${facilities}, ${person('i + 500')} from generate_series(1, ${technicians}) i`,
  `insert into patients (id, name, born_on)
   select i, ${person('i + 1000')}, date '1930-01-01' + ${scattered('i', 33_000)} from generate_series(1, ${patients}) i`,
  `insert into tests (id, name) select i, 'Test ' || i from generate_series(1, ${tests}) i`,
  `insert into test_types (test_id, name)
   select i, 'Type ' || i || '.' || k from generate_series(1, ${tests}) i, generate_series(1, i % 4) k`,
  // Thirty rows share an instant, so that the order also needs the id.
  `insert into clinic_referrals (id, patient_id, facility_id, practitioner_id, status, note, created_at, updated_at)
   select i, 1 + ${scattered('i', patients)}, ${dealt(facilities)},
     case when i <= 12000 then ${dealt(10)} else 10 + ${dealt(practitioners - 10)} end,
     (array['pending', 'accepted', 'completed', 'completed', 'cancelled'])[1 + ${scattered('i + 17', 5)}],
     case when i % 4 = 0 then 'Note ' || i end,
     timestamptz '2025-01-01 00:00:00Z' + (i / 30) * interval '16 hours',
     timestamptz '2025-01-01 00:00:00Z' + (i / 30) * interval '16 hours'
   from generate_series(1, ${referrals}) i`,
  // One to five per referral, three on average.
  `insert into referral_tests (referral_id, test_id, status)
   select r.id, 1 + ${scattered(`r.id * 5 + k`, tests)},
     case when r.status = 'accepted'
       then (array['pending', 'in_progress', 'completed', 'cancelled'])[1 + ${scattered('r.id * 7 + k', 4)}]
       else r.status end
   from clinic_referrals r, generate_series(1, 1 + r.id % 5) k order by r.id, k`,
  ...TABLES.map((table) => `select setval(pg_get_serial_sequence('${table}', 'id'), (select max(id) from ${table}))`),
]
