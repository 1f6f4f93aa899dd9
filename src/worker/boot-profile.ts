import type { BootReport } from '../diagnostics/boot-report.ts'
import { observeImportSideEffects } from '../patches/import-side-effects.ts'
import { observeModuleLoading } from '../patches/module-loading.ts'
import { bootProfile, formatProfile, ImportProfile, worstImports } from './import-costs.ts'

/** The profile of a boot: as data, and as lines for the log. */
export interface MeasuredBoot {
  readonly report: BootReport
  readonly lines: readonly string[]
}

/**
 * Measures every import of this process from now on. This module is loaded with `--boot-profile`
 * only, because the measurement patches the loading of modules and much of what they may call.
 *
 * @returns ends the measurement; its argument is how long the boot took, in milliseconds
 */
export function profileBoot(): (bootMs: number) => MeasuredBoot {
  const imports = new ImportProfile()
  const stopImports = observeModuleLoading(imports)
  const stopSideEffects = observeImportSideEffects(imports)
  return (bootMs) => {
    stopSideEffects()
    stopImports()
    const profile = bootProfile(imports, process.cwd())
    return {
      report: { bootMs, worst: worstImports(imports, process.cwd()), profile },
      lines: formatProfile(profile),
    }
  }
}
