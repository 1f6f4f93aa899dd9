/**
 * The outcomes of a request; each request has exactly one. The page `docs/reference/events.md` is
 * generated from this table.
 */
export const OUTCOME_MEANINGS = {
  completed: 'Answered by its handler.',
  degraded: 'Answered with a fallback for something that failed.',
  'timed-out':
    'It exceeded its deadline, a wait without a fallback timed out, or its client or its stream made too little progress.',
  shed: 'Rejected because the worker was overloaded.',
  failed:
    'Answered with 500 or above, interrupted because its code blocked the event loop, or its connection was closed by the app.',
  'client-disconnected': 'Its client disconnected before the whole response was sent.',
  shutdown: 'Abandoned because its worker had to exit.',
} as const

export type Outcome = keyof typeof OUTCOME_MEANINGS

export const OUTCOMES: readonly Outcome[] = Object.keys(OUTCOME_MEANINGS) as Outcome[]

/** The number of requests by outcome. */
export type OutcomeCounts = Readonly<Record<Outcome, number>>

export const NO_OUTCOMES: OutcomeCounts = Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 0])) as OutcomeCounts
