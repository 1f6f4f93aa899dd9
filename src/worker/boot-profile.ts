import type { BootReport } from '../diagnostics/modules/boot-report.ts'
import { observeImportSideEffects } from '../patches/import-side-effects.ts'
import { observeModuleLoading } from '../patches/module-loading.ts'
import { bootProfile, ImportProfile, tellProfile, worstImports } from './import-costs.ts'

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
  const ledger = new ImportProfile()
  const stopImports = observeModuleLoading(ledger)
  const stopSideEffects = observeImportSideEffects(ledger)
  return (bootMs) => {
    stopSideEffects()
    stopImports()
    const profile = bootProfile(ledger, process.cwd())
    return {
      report: { bootMs, worst: worstImports(ledger, process.cwd()), profile },
      lines: tellProfile(profile),
    }
  }
}
