import type { BootReport } from './boot-report.ts'
import type { ModuleMetric } from './room-metric.ts'

export const bootMetrics: readonly ModuleMetric<BootReport>[] = [
  {
    name: 'punctual_worker_import_seconds',
    help: 'What the costliest imports of a profiled boot took by themselves.',
    type: 'gauge',
    labels: ['module'],
    values: ({ worst }) => worst.map(({ module, selfMs }) => ({ labels: { module }, value: selfMs / 1_000 })),
  },
]
