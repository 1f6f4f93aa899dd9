import type { ReferralStatus, TestStatus } from '../database/schema.ts'

/**
 * What the referrals of the clinic promise, whoever keeps the promise: the service as it failed (`before.ts`) and the same on Punctual (`after.ts`).
 * Routes, tests and the bench know only this.
 *
 * Who asks is not checked: a practitioner or technician is a parameter here, where a real service takes him from the session.
 */
export interface ReferralService {
  /** Those he has sent, the newest first. Undefined: there is no such practitioner. */
  ofPractitioner(practitionerId: number, window: Window): Promise<PractitionerPage | undefined>
  /** Those sent to the facility he works at, the newest first. Undefined: there is no such technician. */
  ofTechnician(technicianId: number, window: Window): Promise<ReferralPage | undefined>
  find(id: number): Promise<Referral | undefined>
  /** What is the same already is no change. */
  change(id: number, change: ReferralChange): Promise<Referral | Refusal>
  changeTest(id: number, status: TestStatus): Promise<ReferralTest | Refusal>
}

/** Which part of a list. */
export interface Window {
  /** Only those in this state; undefined: all. */
  readonly status: ReferralStatus | undefined
  /** Where the page before ended; undefined: the first page. */
  readonly after: Position | undefined
  /** Rows at most: 1 to 1,000. */
  readonly limit: number
}

/** The place of a row in every list: newest first, and of one instant the highest id. */
export interface Position {
  readonly createdAt: Date
  readonly id: number
}

export interface ReferralPage {
  readonly items: readonly Referral[]
  /** Leads to the next page; null on the last. */
  readonly nextCursor: string | null
}

export interface PractitionerPage extends ReferralPage {
  /** Of all his referrals, whatever the page and the filter. */
  readonly summary: Summary
}

export type Summary = Readonly<Record<'total' | ReferralStatus, number>>

export interface Referral {
  readonly id: number
  readonly status: ReferralStatus
  readonly note: string | null
  /** ISO 8601, as all times. */
  readonly createdAt: string
  readonly updatedAt: string
  readonly patient: { readonly id: number; readonly name: string; readonly bornOn: string }
  readonly facility: Named
  readonly referredBy: Named
  /** In the order they were asked for. */
  readonly tests: readonly ReferralTest[]
}

export interface Named {
  readonly id: number
  readonly name: string
}

export interface ReferralTest {
  readonly id: number
  readonly status: TestStatus
  readonly test: Named
  /** The types the test has. */
  readonly types: readonly string[]
}

/** Body of `PATCH …/referrals/:id`: one of these at least. */
export interface ReferralChange {
  readonly status?: ReferralStatus
  /** Null takes it away. */
  readonly note?: string | null
  /** Where the patient is sent to instead. */
  readonly facilityId?: number
}

/** Why a change was not made. */
/** A change that the state of the thing does not allow. */
export interface Conflict {
  readonly code: 'CLOSED' | 'STEP_NOT_ALLOWED' | 'TESTS_OPEN' | 'FACILITY_FIXED' | 'CONTESTED'
  /** For a person. */
  readonly conflict: string
}

export type Refusal = 'not found' | 'no such facility' | Conflict

/** Whether a change was refused. */
export function isRefusal(result: object | string): result is Refusal {
  return typeof result === 'string' || 'conflict' in result
}
