/** Counts the queries of a request. The request holds it and reports its end. */
export interface RequestQueries {
  /** The request has ended. Calls `log` once for each finding, now or a little later. */
  ended(request: EndedRequest, log: LogFinding | null): void
}

export interface EndedRequest {
  readonly method: string
  /** The pattern of its route if known, else the path. */
  readonly route: string
  /** Whether the route is a pattern, and so one of a few. */
  readonly isPattern: boolean
}

export type LogFinding = (finding: QueryFinding) => void

/** A log line about the queries of a request. */
export interface QueryFinding {
  /** The `event` of the line: `query-repeated`, `too-many-queries`. */
  readonly event: string
  /**
   * Follows method and route in the message: `ran "select …" 100 times (412 ms) at src/list.ts:31;
   * load them together`.
   */
  readonly did: string
  readonly fields: Readonly<Record<string, unknown>>
}
