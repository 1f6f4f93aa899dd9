import type { ModuleMetric } from '../metric-definition.ts'
import type { RoutesReport } from './routes-report.ts'

const STATES = ['waiting', 'loading', 'loaded', 'failed'] as const

export const routesMetrics: readonly ModuleMetric<RoutesReport>[] = [
  {
    name: 'punctual_routes_deferred',
    help: 'Modules of deferred routes, by how far they are.',
    type: 'gauge',
    labels: ['state'],
    values: (report) => STATES.map((state) => ({ labels: { state }, value: report[state] })),
  },
  {
    name: 'punctual_routes_load_seconds_total',
    help: 'Time spent on loading deferred routes.',
    type: 'counter',
    labels: [],
    values: ({ loadingMs }) => [{ labels: {}, value: loadingMs / 1_000 }],
  },
  {
    name: 'punctual_routes_demanded_total',
    help: 'Requests that asked for deferred routes before they were loaded.',
    type: 'counter',
    labels: [],
    values: ({ demanded }) => [{ labels: {}, value: demanded }],
  },
]
