import type { ReferralStatus, TestStatus } from '../database/schema.ts'
import type { Conflict, ReferralChange } from './contract.ts'

const REFERRAL_STEPS: Readonly<Record<ReferralStatus, readonly ReferralStatus[]>> = {
  pending: ['accepted', 'cancelled'],
  accepted: ['completed', 'cancelled'],
  completed: [],
  cancelled: [],
}

const TEST_STEPS: Readonly<Record<TestStatus, readonly TestStatus[]>> = {
  pending: ['in_progress', 'cancelled'],
  in_progress: ['completed', 'cancelled'],
  completed: [],
  cancelled: [],
}

/** States of a test that is not finished. */
export const OPEN_TESTS: readonly TestStatus[] = ['pending', 'in_progress']

/** The part of a referral that the rules use. */
interface ReferralState {
  readonly status: ReferralStatus
  readonly facilityId: number
  readonly openTests: number
}

/** Why a referral cannot be changed so; undefined where it can. */
export function conflictOfReferral(now: ReferralState, change: ReferralChange): Conflict | undefined {
  const { status = now.status, facilityId = now.facilityId } = change
  if (status !== now.status) {
    const conflict = conflictOfStep('A referral', REFERRAL_STEPS, now.status, status)
    if (conflict !== undefined) return conflict
    if (status === 'completed' && now.openTests > 0) {
      const open = now.openTests === 1 ? '1 of them is' : `${now.openTests} of them are`
      return { code: 'TESTS_OPEN', conflict: `A referral cannot be completed before its tests: ${open} still open.` }
    }
  }
  if (facilityId !== now.facilityId && now.status !== 'pending') {
    return { code: 'FACILITY_FIXED', conflict: `A referral that is ${now.status} cannot move to another facility.` }
  }
  return undefined
}

/** Why a test cannot become so; undefined where it can. */
export function conflictOfTest(now: TestStatus, referral: ReferralStatus, next: TestStatus): Conflict | undefined {
  if (next === now) return undefined
  if (REFERRAL_STEPS[referral].length === 0) {
    return { code: 'CLOSED', conflict: `The referral of this test is ${referral}.` }
  }
  return conflictOfStep('A test', TEST_STEPS, now, next)
}

function conflictOfStep<Status extends string>(
  what: string,
  steps: Readonly<Record<Status, readonly Status[]>>,
  now: Status,
  next: Status,
): Conflict | undefined {
  const allowed = steps[now]
  if (allowed.includes(next)) return undefined
  if (allowed.length === 0) return { code: 'CLOSED', conflict: `${what} that is ${now} can no longer change.` }
  const conflict = `${what} that is ${now} can only become ${allowed.join(' or ')}.`
  return { code: 'STEP_NOT_ALLOWED', conflict }
}
