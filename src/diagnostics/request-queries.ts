/** What counts the queries of a request. The request carries it and says when it has ended; neither knows more of the other. */
export interface RequestQueries {
  /** The request has ended. `tell` is called for what is worth a line, once for each, now or a little later. */
  ended(request: EndedRequest, tell: TellFinding | null): void
}

export interface EndedRequest {
  readonly method: string
  /** The pattern of its route where it is known, else the path. */
  readonly route: string
  /** The route is a pattern, and so one of a few. */
  readonly isPattern: boolean
}

export type TellFinding = (finding: QueryFinding) => void

/** Something about the queries of a request that its log tells. */
export interface QueryFinding {
  /** The `event` of its line: `query-repeated`, `too-many-queries`. */
  readonly event: string
  /** What it did, to follow method and route: `ran "select …" 100 times (412 ms) at src/list.ts:31; load them together`. */
  readonly did: string
  readonly fields: Readonly<Record<string, unknown>>
}
