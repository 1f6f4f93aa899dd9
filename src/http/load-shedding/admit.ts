import type { Traffic } from '../traffic.ts'
import { LoadShedder, type LoadSheddingSettings } from './load-shedder.ts'

/**
 * Puts admission in front of the handlers of this traffic. Also where it is off, since it may be
 * switched on later: then it costs a request two comparisons. Its `turned` must be called
 * regularly.
 */
export function addLoadShedding(traffic: Traffic, limits: LoadSheddingSettings): LoadShedder {
  const admission = new LoadShedder(traffic.table, traffic.inFlight, limits)
  traffic.loadShedder = admission
  const { onEnded } = traffic
  traffic.onEnded = (scope, outcome) => {
    onEnded?.(scope, outcome)
    admission.requestEnded(scope)
  }
  return admission
}
