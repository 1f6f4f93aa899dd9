import { PunctualError } from '../errors/punctual-error.ts'
import { nearestName } from '../settings/nearest-name.ts'
import { RUNTIME_SETTINGS } from '../settings/overlay.ts'

/** Names that are told at most. */
const MOST_TOLD = 30

/** For a name that is neither a setting nor declared by any worker. */
export function unknownName(name: string, declared: readonly string[]): PunctualError {
  const nearest = nearestName(name, [...RUNTIME_SETTINGS, ...declared])
  const hint = nearest === undefined ? '' : `; did you mean ${nearest}?`
  if (!name.includes('.')) {
    const there = `the settings that can be changed while Punctual runs are ${RUNTIME_SETTINGS.join(', ')}`
    return new PunctualError('PUNCTUAL_SETTINGS_INVALID', `${name}: there is no such setting${hint || `; ${there}`}`, {
      details: { name, nearest: nearest ?? null },
    })
  }
  const more = declared.length > MOST_TOLD ? `, and ${declared.length - MOST_TOLD} more` : ''
  const there =
    declared.length === 0
      ? 'the app has declared no values'
      : `the app has declared ${declared.slice(0, MOST_TOLD).join(', ')}${more}`
  return new PunctualError(
    'PUNCTUAL_SETTINGS_INVALID',
    `${name}: no worker has declared that name${hint}\n  ${there}\n  --force sets it for workers that declare it later`,
    { details: { name, nearest: nearest ?? null } },
  )
}
