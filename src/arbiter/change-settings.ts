import { ms } from '../resilience/duration.ts'
import type { Settings } from '../settings/settings.ts'
import type { Action } from './action.ts'
import { jittered } from './jitter.ts'
import type { State, WorkerState } from './state.ts'

/** Settings have been changed while running. Whatever is read when it is needed holds by that alone; what was drawn or set from them is renewed. */
export function changeSettings(state: State, settings: Settings, at: number): Action[] {
  const before = state.settings
  state.settings = settings
  for (const worker of state.workers) spreadLimits(state, before, worker)
  if (settings.bootTimeout === before.bootTimeout) return []
  return state.workers.filter(isBooting).map(({ id, spawnedAt }) => ({
    type: 'set-timer',
    timer: { of: 'boot', worker: id },
    after: ms(Math.max(0, spawnedAt + settings.bootTimeout - at)),
  }))
}

/** The limits after which a worker is replaced, each drawn for itself. Those that have not changed stay as they were drawn. */
function spreadLimits(state: State, before: Settings, worker: WorkerState): void {
  const { maxRequests, maxLifetime, recycleJitter } = state.settings
  const isSpreadAnew = recycleJitter !== before.recycleJitter
  if (isSpreadAnew || maxRequests !== before.maxRequests) worker.requestLimit = Math.ceil(jittered(state, maxRequests))
  if (isSpreadAnew || maxLifetime !== before.maxLifetime) worker.lifetimeLimit = jittered(state, maxLifetime)
}

function isBooting({ life, dying }: WorkerState): boolean {
  return (life === 'spawned' || life === 'booting') && dying === null
}
