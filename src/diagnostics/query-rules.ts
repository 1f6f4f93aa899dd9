import type { Settings } from '../settings/settings.ts'

/** The settings that the counting of queries goes by. */
export type QueryRules = Pick<Settings, 'repeatedQueryThreshold' | 'maxQueriesPerRequest' | 'workers'>

/** Found by all copies of Punctual in a process: an app may have one of its own beside the one that serves it. */
const KEY = Symbol.for('punctual.queryRules')
type Holder = { [KEY]?: QueryRules }

/** Outside of Punctual: the defaults, and one process. */
const DEFAULTS: QueryRules = { repeatedQueryThreshold: 5, maxQueriesPerRequest: Number.POSITIVE_INFINITY, workers: 1 }

/** From now on these are in force. The object is kept, not copied: what is changed in it holds at once. */
export function publishQueryRules(rules: QueryRules): void {
  Object.defineProperty(globalThis, KEY, { value: rules, configurable: true })
}

export function queryRules(): QueryRules {
  return (globalThis as Holder)[KEY] ?? DEFAULTS
}
