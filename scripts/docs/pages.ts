import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { apiPage } from './api-page.ts'
import { errorsPage } from './errors-page.ts'
import { eventsPage } from './events-page.ts'
import { metricsPage } from './metrics-page.ts'
import { settingsPage } from './settings-page.ts'

/** Every generated page of the repository under `root`: path (relative to it) and text. */
export async function renderPages(root: string): Promise<ReadonlyMap<string, string>> {
  const load = <Module>(path: string): Promise<Module> => import(pathToFileURL(join(root, 'src', path)).href)
  const [
    records,
    names,
    rules,
    codes,
    problems,
    metrics,
    queue,
    queries,
    routes,
    boot,
    cache,
    incidents,
    restarts,
    outcomes,
  ] = await Promise.all([
    load<typeof import('../../src/settings/records.ts')>('settings/records.ts'),
    load<typeof import('../../src/settings/settings.ts')>('settings/settings.ts'),
    load<typeof import('../../src/settings/rules.ts')>('settings/rules.ts'),
    load<typeof import('../../src/errors/codes.ts')>('errors/codes.ts'),
    load<typeof import('../../src/errors/problem.ts')>('errors/problem.ts'),
    load<typeof import('../../src/diagnostics/metrics.ts')>('diagnostics/metrics.ts'),
    load<typeof import('../../src/queue/queue-report.ts')>('queue/queue-report.ts'),
    load<typeof import('../../src/query-insight/queries-report.ts')>('query-insight/queries-report.ts'),
    load<typeof import('../../src/routes/routes-report.ts')>('routes/routes-report.ts'),
    load<typeof import('../../src/diagnostics/boot-report.ts')>('diagnostics/boot-report.ts'),
    load<typeof import('../../src/cache/cache-report.ts')>('cache/cache-report.ts'),
    load<typeof import('../../src/diagnostics/incident.ts')>('diagnostics/incident.ts'),
    load<typeof import('../../src/arbiter/state.ts')>('arbiter/state.ts'),
    load<typeof import('../../src/diagnostics/outcomes.ts')>('diagnostics/outcomes.ts'),
  ])
  return new Map([
    ['docs/reference/api.md', await apiPage(root)],
    ['docs/reference/settings.md', settingsPage(records, names, rules)],
    ['docs/reference/errors.md', errorsPage(codes, problems)],
    [
      'docs/reference/metrics.md',
      metricsPage(metrics.ARBITER_METRICS, [
        queue.queueMetrics,
        queries.queriesMetrics,
        routes.routesMetrics,
        boot.bootMetrics,
        cache.cacheMetrics,
      ]),
    ],
    ['docs/reference/events.md', eventsPage(incidents, restarts, outcomes)],
  ])
}

/** One line for each generated page that is missing or differs from its source. */
export async function findDrift(root: string): Promise<readonly string[]> {
  const faults: string[] = []
  for (const [path, text] of await renderPages(root)) {
    const file = join(root, path)
    if (!existsSync(file)) faults.push(`${path} is missing; run \`npm run docs\``)
    else if (readFileSync(file, 'utf8') !== text) faults.push(`${path} differs from its source; run \`npm run docs\``)
  }
  return faults
}
