import type { Traffic } from '../traffic.ts'
import { Admission, type AdmissionLimits } from './admission.ts'

/** Puts admission in front of the handlers of this traffic; null where that is off. Its `turned` must be called regularly. */
export function admit(traffic: Traffic, limits: AdmissionLimits): Admission | null {
  if (limits.admission === 'off') return null
  const admission = new Admission(traffic.table, traffic.inFlight, limits)
  traffic.admission = admission
  if (limits.admission === 'dark') return admission
  const { onEnded } = traffic
  traffic.onEnded = (scope) => {
    onEnded?.(scope)
    admission.ended(scope)
  }
  return admission
}
