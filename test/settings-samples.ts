import type { SettingsControl } from '../src/arbiter/arbiter-control.ts'
import { resolveSettings } from '../src/settings/resolve.ts'
import { settingsReport } from '../src/settings/settings-report.ts'

/** The default settings of an arbiter, read-only, for tests. */
export function noSettings(): SettingsControl {
  const resolved = resolveSettings({ flags: {}, env: {}, cwd: '/app', isTerminal: false, parallelism: 2 })
  return {
    inForce: () => ({ ...settingsReport(resolved, null), pid: 100, set: {}, declared: [] }),
    set: () => Promise.reject(new Error('nothing can be set here')),
    unset: () => Promise.reject(new Error('nothing can be set here')),
  }
}
