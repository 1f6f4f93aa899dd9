import type { Action } from './action.ts'
import { beginReload } from './reload.ts'
import type { State } from './state.ts'

/** The first generation serves once as many as are wanted are ready. Looked at after every event: one may stall while the last becomes ready. */
export function beginServing(state: State, at: number): Action[] {
  if (state.phase !== 'starting' || state.address === null) return []
  const serving = state.workers.filter(({ life }) => life === 'ready').length
  if (serving < state.wanted) return []
  state.phase = 'running'
  return [
    {
      type: 'announce',
      what: { of: 'running', generation: state.generation, workers: serving, address: state.address },
    },
    ...beginReload(state, at),
  ]
}
