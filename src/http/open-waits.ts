import { formatElapsed } from '../resilience/duration.ts'
import type { WaitRecord } from '../resilience/waits.ts'
import type { OpenWait } from './open-wait.ts'
import type { RequestScope } from './scope.ts'
import { type ToldWait, tellUnnamed } from './unnamed/tell-unnamed.ts'

export type { OpenWait }

/** What this request waits for now, the longest first: waits with a name, and what was seen of others. Nothing is told twice. */
export function openWaits(scope: RequestScope): OpenWait[] {
  const named = scope.open()
  const unnamed = scope.unnamed === null ? [] : tellUnnamed(scope.unnamed)
  const inside = new Map<WaitRecord, string[]>()
  const alone: OpenWait[] = []
  for (const wait of unnamed) {
    const { name, since } = wait
    const home = homeOf(wait, named)
    if (home === null) alone.push({ name, since })
    else inside.set(home, [...(inside.get(home) ?? []), name])
  }
  const waits = named.map((record): OpenWait => {
    const { name, startedAt: since } = record
    const via = inside.get(record)
    return via === undefined ? { name, since } : { name, since, via }
  })
  return [...waits, ...alone].toSorted((one, other) => one.since - other.since)
}

/**
 * The wait with a name that this is part of. After an `await` nobody knows for sure which of several waits goes on; where those that were open
 * then lie one in the other, it is the innermost.
 */
function homeOf({ around, since }: ToldWait, named: readonly WaitRecord[]): WaitRecord | null {
  const earlier = named.filter(({ startedAt }) => startedAt <= since)
  const isKnown = earlier.some((record) => isInside(around, record))
  const candidates = isKnown
    ? earlier.filter((record) => isInside(record, around) || isInside(around, record))
    : earlier
  const innermost = candidates.at(-1)
  return innermost !== undefined && candidates.every((record) => isInside(innermost, record)) ? innermost : null
}

/** By their shape: an app may have a copy of Punctual of its own, whose waits are written down in the same list of waits. */
function isInside(part: unknown, whole: unknown): boolean {
  for (let node = part as Nested | null | undefined; node !== null && node !== undefined; node = node.parent) {
    if (node === whole) return true
  }
  return false
}

type Nested = { readonly parent?: Nested | null }

const TOLD = 3

/**
 * For the log: `waiting 29.9 s for 127.0.0.1:5432 (postgresql), 2.0 s for child process sleep (pid 7)`. Empty where nothing is waited for.
 *
 * @param now monotonic milliseconds
 */
export function tellOpenWaits(waits: readonly OpenWait[], now: number): string {
  if (waits.length === 0) return ''
  const told = waits.slice(0, TOLD).map(({ name, since, via }) => {
    const beneath = via === undefined ? '' : ` via ${via.join(' and ')}`
    return `${formatElapsed(now - since)} for ${name}${beneath}`
  })
  const more = waits.length > TOLD ? ` and ${waits.length - TOLD} more` : ''
  return `waiting ${told.join(', ')}${more}`
}
