/** How a request ended; exactly one of them. The page `docs/reference/events.md` is generated from this table. */
export const OUTCOME_MEANINGS = {
  completed: 'Answered by its handler.',
  degraded: 'Answered, with a fallback in place of something.',
  'timed-out': 'Its time, or that of a wait it could not do without, ran out.',
  shed: 'Refused, because there was more to do than could be done in time.',
  failed: 'Answered with 500 or above, or cut because its code stalled.',
  'client-disconnected': 'Its client left before the answer. No time-out.',
  shutdown: 'Given up because its worker had to leave. No time-out.',
} as const

export type Outcome = keyof typeof OUTCOME_MEANINGS

export const OUTCOMES: readonly Outcome[] = Object.keys(OUTCOME_MEANINGS) as Outcome[]

/** How many requests ended in which way. */
export type OutcomeCounts = Readonly<Record<Outcome, number>>

export const NO_OUTCOMES: OutcomeCounts = Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 0])) as OutcomeCounts
