import type { Generated } from 'kysely'

/** The tables, after all migrations. */
export interface Database {
  users: UsersTable
  sessions: SessionsTable
  security_events: SecurityEventsTable
  user_activity: UserActivityTable
  auth_users: AuthUsersTable
  api_keys: ApiKeysTable
  referrals: ReferralsTable
  email_outbox: EmailOutboxTable
  facilities: FacilitiesTable
  practitioners: StaffTable
  technicians: StaffTable
  patients: PatientsTable
  tests: TestsTable
  test_types: TestTypesTable
  clinic_referrals: ClinicReferralsTable
  referral_tests: ReferralTestsTable
}

interface UsersTable {
  id: Generated<number>
  username: string
  /** scrypt, in PHC string form. */
  password_hash: string
  created_at: Generated<Date>
  last_login_at: Date | null
}

interface SessionsTable {
  /** SHA-256 of the token: a reader of this table cannot sign in with it. */
  token_hash: Buffer
  user_id: number
  created_at: Generated<Date>
  expires_at: Date
}

export type SecurityEvent = 'login' | 'login_failed' | 'logout'

interface SecurityEventsTable {
  /** The id of the deferred item that wrote the row. */
  id: Generated<string>
  event: SecurityEvent
  /** Null if the name is unknown. */
  user_id: number | null
  /** As entered. */
  username: string
  ip: string
  user_agent: string
  created_at: Generated<Date>
}

interface UserActivityTable {
  /** The id of the deferred item that wrote the row. */
  id: Generated<string>
  user_id: number
  activity: 'login' | 'logout'
  created_at: Generated<Date>
}

interface AuthUsersTable {
  id: Generated<number>
  /** The identity at the provider; null for a user from before it, until they next sign in. */
  privy_id: string | null
  username: string
  email: string
  /** The code that the user passes on to others. */
  referral_code: string
  referred_by: number | null
  /** How many users signed up with the code. */
  referral_count: Generated<number>
  created_at: Generated<Date>
  last_seen_at: Date | null
}

interface ApiKeysTable {
  id: Generated<number>
  user_id: number
  /** The start of the key, by which its owner recognizes it. */
  prefix: string
  /** SHA-256 of the key: a reader of this table cannot use it. */
  key_hash: Buffer
  created_at: Generated<Date>
  revoked_at: Date | null
}

interface ReferralsTable {
  id: Generated<number>
  referrer_id: number
  referred_id: number
  created_at: Generated<Date>
}

interface EmailOutboxTable {
  id: Generated<string>
  recipient: string
  template: 'referral_joined'
  /** The user that the letter is about. */
  about_user_id: number | null
  created_at: Generated<Date>
  sent_at: Date | null
}

interface FacilitiesTable {
  id: Generated<number>
  name: string
}

/** Practitioners refer patients, technicians perform their tests. */
interface StaffTable {
  id: Generated<number>
  /** The facility they work at. */
  facility_id: number
  name: string
}

interface PatientsTable {
  id: Generated<number>
  name: string
  /** Read as text: a day is not an instant. */
  born_on: Date
}

/** The tests that exist. */
interface TestsTable {
  id: Generated<number>
  name: string
}

interface TestTypesTable {
  id: Generated<number>
  test_id: number
  name: string
}

export type ReferralStatus = 'pending' | 'accepted' | 'completed' | 'cancelled'

interface ClinicReferralsTable {
  id: Generated<number>
  patient_id: number
  /** The facility the patient is referred to. */
  facility_id: number
  /** The referring practitioner. */
  practitioner_id: number
  status: Generated<ReferralStatus>
  note: string | null
  created_at: Generated<Date>
  updated_at: Generated<Date>
}

export type TestStatus = 'pending' | 'in_progress' | 'completed' | 'cancelled'

/** A test that a referral requests. */
interface ReferralTestsTable {
  id: Generated<number>
  referral_id: number
  test_id: number
  status: Generated<TestStatus>
}
