import type { Traffic } from '../traffic.ts'
import { Admission, type AdmissionLimits } from './admission.ts'

/**
 * Puts admission in front of the handlers of this traffic. Also where it is off, since it may be switched on later: then it costs a request
 * two comparisons. Its `turned` must be called regularly.
 */
export function admit(traffic: Traffic, limits: AdmissionLimits): Admission {
  const admission = new Admission(traffic.table, traffic.inFlight, limits)
  traffic.admission = admission
  const { onEnded } = traffic
  traffic.onEnded = (scope, outcome) => {
    onEnded?.(scope, outcome)
    admission.ended(scope)
  }
  return admission
}
