export const SIDES = ['before', 'after'] as const
export type Side = (typeof SIDES)[number]
export type BothSides<T> = Readonly<Record<Side, T>>

const PATHS: BothSides<string> = { before: '/before/api/medics/referrals', after: '/api/medics/referrals' }
/** As many have 1,200 referrals each; every facility has 1,000. */
const FULL_OWNERS = 10

/** A row of the table. */
export interface Case {
  readonly name: string
  readonly list: 'practitioner' | 'technician'
  /** Rows of a page. */
  readonly rows: number
  /** What share of the requests is sent: the longest pages take a second each before. */
  readonly share: number
  /** By how many milliseconds each query is slowed, at random between the two. */
  readonly delay?: readonly [least: number, most: number]
}

/** By the claim of the incident: a page took 2 to 5 s for its 50 to 100 queries and more. */
const AS_SLOW = [20, 50] as const

export const CASES: readonly Case[] = [
  { name: 'practitioner, 10 rows', list: 'practitioner', rows: 10, share: 1 },
  { name: 'practitioner, 100 rows', list: 'practitioner', rows: 100, share: 1 },
  { name: 'practitioner, 1000 rows', list: 'practitioner', rows: 1_000, share: 0.1 },
  { name: 'technician, 100 rows', list: 'technician', rows: 100, share: 1 },
  {
    name: `practitioner, 100 rows, ${AS_SLOW.join('–')} ms a query`,
    list: 'practitioner',
    rows: 100,
    share: 0.1,
    delay: AS_SLOW,
  },
]

/** What the `index`th client asks for. */
export function pathOf({ list, rows }: Case, side: Side, index: number): string {
  return `${PATHS[side]}/${list}?${list}Id=${1 + (index % FULL_OWNERS)}&limit=${rows}`
}
