import { EXIT } from '../errors/exit-codes.ts'
import type { Action } from './action.ts'
import { stopNow } from './commands.ts'
import type { Event } from './event.ts'
import { beginReload, reply } from './reload.ts'
import type { State } from './state.ts'

/** The release steps have ended: their generation is started, or nothing of it ever is. */
export function released(state: State, { generation, ok, why, at }: Extract<Event, { type: 'released' }>): Action[] {
  const { releasing, reload } = state
  if (releasing?.generation !== generation) return []
  state.releasing = null
  // It was told to end, and what waits for that is the stop.
  if (state.phase === 'stopping') return []
  if (ok) {
    const done: Action = { type: 'announce', what: { of: 'released', generation, told: why } }
    const starting: Action = { type: 'announce', what: { of: 'starting', workers: state.wanted } }
    return generation === state.generation ? [done, starting] : [done]
  }
  if (reload?.generation !== generation) {
    state.exit = { code: EXIT.releaseFailed, why }
    return [
      { type: 'announce', what: { of: 'release-failed', generation, why, serving: null } },
      ...stopNow(state, 'the release failed'),
    ]
  }
  state.reload = null
  const serving = state.generation
  return [
    { type: 'announce', what: { of: 'release-failed', generation, why, serving } },
    ...reply(
      reload.command,
      false,
      `${why}\ngeneration ${generation} was not started; generation ${serving} keeps serving`,
      { generation, serving, reason: 'release', why },
    ),
    ...beginReload(state, at),
  ]
}
