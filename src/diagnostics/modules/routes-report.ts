/** Under what the room reports. */
export const ROUTES_TOPIC = 'routes'

/** What a worker reports of its deferred routes, under the topic `routes`. Times are milliseconds. */
export interface RoutesReport {
  readonly waiting: number
  readonly loading: number
  readonly loaded: number
  readonly failed: number
  /** From the moment in which loading began to the end of the last load; null while some have not been tried. */
  readonly allSettledInMs: number | null
  /** Spent on purpose, so that requests were not held up. */
  readonly yieldedMs: number
  /** Of all loads that have ended well. */
  readonly loadingMs: number
  /** Requests that asked for routes which were not loaded. */
  readonly demanded: number
  /** What has failed, what is loading, and what took longest; at most 20. */
  readonly modules: readonly DeferredModuleReport[]
}

export interface DeferredModuleReport {
  readonly prefix: string
  readonly state: 'waiting' | 'loading' | 'loaded' | 'failed'
  /** How often it has failed. */
  readonly failures: number
  readonly demanded: number
  /** Requests that wait for it now. */
  readonly waiting: number
  readonly tookMs: number | null
  readonly error?: string
  readonly retryInMs?: number
}
