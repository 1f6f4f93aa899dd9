import type { Settings } from '../settings/settings.ts'
import { ProcessGlobal } from '../system/process-global.ts'

/** The settings that apply to the counting of queries. */
export type QueryRules = Pick<Settings, 'repeatedQueryThreshold' | 'maxQueriesPerRequest' | 'workers'>

const published = new ProcessGlobal<QueryRules>('queryRules')

/** In a process that does not run under Punctual. */
const DEFAULTS: QueryRules = { repeatedQueryThreshold: 5, maxQueriesPerRequest: Number.POSITIVE_INFINITY, workers: 1 }

/** Makes these apply from now on. The object is kept, so that changes to it apply at once. */
export function publishQueryRules(rules: QueryRules): void {
  published.set(rules)
}

export function queryRules(): QueryRules {
  return published.get() ?? DEFAULTS
}
