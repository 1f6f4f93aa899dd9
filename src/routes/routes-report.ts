import type { ModuleMetric } from '../diagnostics/metric-definition.ts'

/** The topic under which a worker reports its deferred routes. */
export const ROUTES_TOPIC = 'routes'

/** The deferred routes of a worker: modules by state. Times are in milliseconds. */
export interface RoutesReport {
  readonly waiting: number
  readonly loading: number
  readonly loaded: number
  readonly failed: number
  /** From the start of loading to the end of the last load; null while some have not been tried. */
  readonly allSettledInMs: number | null
  /** Time for which loading yielded to requests. */
  readonly yieldedMs: number
  /** Duration of all successful loads. */
  readonly loadingMs: number
  /** Requests for routes that were not loaded. */
  readonly demanded: number
  /** Modules that failed, are loading, or took longest; at most 20. */
  readonly modules: readonly DeferredModuleReport[]
}

export interface DeferredModuleReport {
  readonly prefix: string
  readonly state: 'waiting' | 'loading' | 'loaded' | 'failed'
  /** Number of failed loads. */
  readonly failures: number
  readonly demanded: number
  /** Requests that are waiting for it. */
  readonly waiting: number
  readonly tookMs: number | null
  readonly error?: string
  readonly retryInMs?: number
}

const STATES = ['waiting', 'loading', 'loaded', 'failed'] as const

export const routesMetrics: readonly ModuleMetric<RoutesReport>[] = [
  {
    name: 'punctual_routes_deferred',
    help: 'Modules with deferred routes, by state.',
    type: 'gauge',
    labels: ['state'],
    values: (report) => STATES.map((state) => ({ labels: { state }, value: report[state] })),
  },
  {
    name: 'punctual_routes_load_seconds_total',
    help: 'Time spent loading deferred routes.',
    type: 'counter',
    labels: [],
    values: ({ loadingMs }) => [{ labels: {}, value: loadingMs / 1_000 }],
  },
  {
    name: 'punctual_routes_demanded_total',
    help: 'Requests for deferred routes that were not loaded yet.',
    type: 'counter',
    labels: [],
    values: ({ demanded }) => [{ labels: {}, value: demanded }],
  },
]
