import type { BootReport } from '../diagnostics/modules/boot-report.ts'
import { bootProfile, tellProfile, worstImports } from './import-costs.ts'
import { ImportLedger } from './import-ledger.ts'
import { watchDeeds } from './watch-deeds.ts'
import { watchImports } from './watch-imports.ts'

/** What was measured of a boot: as data, and as lines for the log. */
export interface MeasuredBoot {
  readonly report: BootReport
  readonly lines: readonly string[]
}

/**
 * Measures every import of this process from now on. Loaded only where it is asked for: it wraps what modules are loaded with and much of what they may call.
 *
 * @returns ends it; given how long the boot took, in milliseconds
 */
export function profileBoot(): (bootMs: number) => MeasuredBoot {
  const ledger = new ImportLedger()
  const stopImports = watchImports(ledger)
  const stopDeeds = watchDeeds(ledger)
  return (bootMs) => {
    stopDeeds()
    stopImports()
    const profile = bootProfile(ledger, process.cwd())
    return {
      report: { bootMs, worst: worstImports(ledger, process.cwd()), profile },
      lines: tellProfile(profile),
    }
  }
}
