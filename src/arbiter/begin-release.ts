import type { Action } from './action.ts'
import type { State } from './state.ts'

/** Has the release steps of a generation run. Until they have ended nothing of it is started; `released` says how they did. */
export function beginRelease(state: State, generation: number, at: number): Action[] {
  state.releasing = { generation, startedAt: at }
  const serving = generation !== state.generation
  return [
    { type: 'announce', what: { of: 'releasing', generation } },
    { type: 'release', generation, serving },
  ]
}
