export const SIDES = ['before', 'after'] as const
export type Side = (typeof SIDES)[number]
export type BothSides<T> = Readonly<Record<Side, T>>

const PATHS: BothSides<string> = { before: '/before/api/medics/referrals', after: '/api/medics/referrals' }
/** Owners with 1,200 referrals each; every facility has 1,000. */
const FULL_OWNERS = 10

/** A row of the table. */
export interface Case {
  readonly name: string
  readonly list: 'practitioner' | 'technician'
  /** Rows per page. */
  readonly rows: number
  /** Share of the requests that are sent: the longest pages take a second each in `before`. */
  readonly share: number
  /** Random delay of each query, in milliseconds. */
  readonly delay?: readonly [least: number, most: number]
}

/** From the incident report: a page took 2 to 5 s for 50 to 100 queries and more. */
const INCIDENT_DELAY = [20, 50] as const

export const CASES: readonly Case[] = [
  { name: 'practitioner, 10 rows', list: 'practitioner', rows: 10, share: 1 },
  { name: 'practitioner, 100 rows', list: 'practitioner', rows: 100, share: 1 },
  { name: 'practitioner, 1000 rows', list: 'practitioner', rows: 1_000, share: 0.1 },
  { name: 'technician, 100 rows', list: 'technician', rows: 100, share: 1 },
  {
    name: `practitioner, 100 rows, ${INCIDENT_DELAY.join('–')} ms per query`,
    list: 'practitioner',
    rows: 100,
    share: 0.1,
    delay: INCIDENT_DELAY,
  },
]

/** Returns the path that request number `index` uses. */
export function pathOf({ list, rows }: Case, side: Side, index: number): string {
  return `${PATHS[side]}/${list}?${list}Id=${1 + (index % FULL_OWNERS)}&limit=${rows}`
}
