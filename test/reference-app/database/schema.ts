import type { Generated } from 'kysely'

/** The tables, as the migrations leave them. */
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
  /** SHA-256 of the token: who reads this table cannot sign in with it. */
  token_hash: Buffer
  user_id: number
  created_at: Generated<Date>
  expires_at: Date
}

export type SecurityEvent = 'login' | 'login_failed' | 'logout'

interface SecurityEventsTable {
  /** Of the work by which it was written. */
  id: Generated<string>
  event: SecurityEvent
  /** Null when nobody of that name is known. */
  user_id: number | null
  /** As it was typed. */
  username: string
  ip: string
  user_agent: string
  created_at: Generated<Date>
}

interface UserActivityTable {
  /** Of the work by which it was written. */
  id: Generated<string>
  user_id: number
  activity: 'login' | 'logout'
  created_at: Generated<Date>
}

interface AuthUsersTable {
  id: Generated<number>
  /** Who he is to the identity provider; null for whoever joined before there was one, until he next signs in. */
  privy_id: string | null
  username: string
  email: string
  /** What he hands to others, so that they join in his name. */
  referral_code: string
  referred_by: number | null
  /** How many have joined in his name. */
  referral_count: Generated<number>
  created_at: Generated<Date>
  last_seen_at: Date | null
}

interface ApiKeysTable {
  id: Generated<number>
  user_id: number
  /** The first letters of the key, by which its owner knows it again. */
  prefix: string
  /** SHA-256 of the key: who reads this table cannot call anything with it. */
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
  /** Whom the letter is about. */
  about_user_id: number | null
  created_at: Generated<Date>
  sent_at: Date | null
}

interface FacilitiesTable {
  id: Generated<number>
  name: string
}

/** Practitioners refer patients, technicians see to their tests. */
interface StaffTable {
  id: Generated<number>
  /** Where they work. */
  facility_id: number
  name: string
}

interface PatientsTable {
  id: Generated<number>
  name: string
  /** To be read as text: a day is no instant. */
  born_on: Date
}

/** What can be tested. */
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
  /** Where the patient is sent to. */
  facility_id: number
  /** Who sends him. */
  practitioner_id: number
  status: Generated<ReferralStatus>
  note: string | null
  created_at: Generated<Date>
  updated_at: Generated<Date>
}

export type TestStatus = 'pending' | 'in_progress' | 'completed' | 'cancelled'

/** A test that a referral asks for. */
interface ReferralTestsTable {
  id: Generated<number>
  referral_id: number
  test_id: number
  status: Generated<TestStatus>
}
