import type { ReferralStatus, TestStatus } from '../database/schema.ts'

/**
 * The contract of the clinic's referrals, implemented by the service as it failed (`before.ts`) and
 * on Punctual (`after.ts`). Routes, tests and the benchmark depend only on this.
 *
 * Authentication is left out: the practitioner or technician is a parameter, where a real service
 * uses the session.
 */
export interface ReferralService {
  /**
   * The referrals that a practitioner sent, newest first. Undefined if the practitioner does not
   * exist.
   */
  ofPractitioner(practitionerId: number, window: Window): Promise<PractitionerPage | undefined>
  /**
   * The referrals to the facility of a technician, newest first. Undefined if the technician does
   * not exist.
   */
  ofTechnician(technicianId: number, window: Window): Promise<ReferralPage | undefined>
  find(id: number): Promise<Referral | undefined>
  /** Setting a field to its current value is not a change. */
  change(id: number, change: ReferralChange): Promise<Referral | Refusal>
  changeTest(id: number, status: TestStatus): Promise<ReferralTest | Refusal>
}

/** The part of a list to return. */
export interface Window {
  /** Only referrals in this state; undefined for all. */
  readonly status: ReferralStatus | undefined
  /** Where the previous page ended; undefined for the first page. */
  readonly after: Position | undefined
  /** Maximum number of rows: 1 to 1,000. */
  readonly limit: number
}

/** The position of a row in every list: newest first, then highest id first. */
export interface Position {
  readonly createdAt: Date
  readonly id: number
}

export interface ReferralPage {
  readonly items: readonly Referral[]
  /** The cursor of the next page; null on the last. */
  readonly nextCursor: string | null
}

export interface PractitionerPage extends ReferralPage {
  /** Of all referrals in the list, regardless of page and filter. */
  readonly summary: Summary
}

export type Summary = Readonly<Record<'total' | ReferralStatus, number>>

export interface Referral {
  readonly id: number
  readonly status: ReferralStatus
  readonly note: string | null
  /** ISO 8601, like all times. */
  readonly createdAt: string
  readonly updatedAt: string
  readonly patient: { readonly id: number; readonly name: string; readonly bornOn: string }
  readonly facility: Named
  readonly referredBy: Named
  /** In the order of their ids. */
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

/** Body of `PATCH …/referrals/:id`: at least one of these. */
export interface ReferralChange {
  readonly status?: ReferralStatus
  /** Null deletes it. */
  readonly note?: string | null
  /** The new facility of the patient. */
  readonly facilityId?: number
}

/** A change that the current state does not allow. */
export interface Conflict {
  readonly code: 'CLOSED' | 'STEP_NOT_ALLOWED' | 'TESTS_OPEN' | 'FACILITY_FIXED' | 'CONTESTED'
  /** For a person. */
  readonly conflict: string
}

export type Refusal = 'not found' | 'no such facility' | Conflict

/** Returns whether a change was rejected. */
export function isRefusal(result: object | string): result is Refusal {
  return typeof result === 'string' || 'conflict' in result
}
