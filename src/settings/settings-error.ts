import { PunctualError } from '../errors/punctual-error.ts'
import type { FaultKind } from './kind.ts'
import { flagOf, type SettingName } from './records.ts'

/** One thing that is wrong with the settings. */
export interface SettingFault {
  /** Name of the setting, where there is one. */
  readonly setting: string | null
  /** Where it came from: `--workers`, `PUNCTUAL_WORKERS`, `punctual.config.ts: workers`. */
  readonly source: string
  readonly kind: FaultKind
  /** What is wrong, as the rest of a sentence that begins with the source. */
  readonly what: string
  /** What to do, as a sentence without its full stop. */
  readonly advice: string
  /** As it was written, where that may be printed. */
  readonly given?: unknown
  /** What was probably meant, as it would be written. */
  readonly suggestion?: string
  /** The least or the most that is accepted. */
  readonly bound?: string
  /** The rule that does not hold: `stallReportAfter < stallInterruptAfter`. */
  readonly rule?: string
}

/** Values with which all rules would hold, as texts by name, and how they would be given. */
export interface FittingValues {
  readonly as: 'flags' | 'set'
  readonly values: Readonly<Record<string, string>>
}

/** Settings that do not apply, with all their faults. Code `PUNCTUAL_SETTINGS_INVALID`, exit code 2. */
export class SettingsError extends PunctualError {
  static {
    SettingsError.prototype.name = 'SettingsError'
  }

  declare readonly details: {
    readonly faults: readonly SettingFault[]
    /** Where only defaults stand in the way. */
    readonly fitting: Readonly<Record<string, string>> | null
  }

  constructor(
    faults: readonly SettingFault[],
    options: { readonly cause?: unknown; readonly fitting?: FittingValues | null } = {},
  ) {
    const { cause, fitting = null } = options
    super('PUNCTUAL_SETTINGS_INVALID', tell(faults, fitting), {
      cause,
      details: { faults, fitting: fitting?.values ?? null },
    })
  }
}

function tell(faults: readonly SettingFault[], fitting: FittingValues | null): string {
  const lines =
    faults.length === 1 ? faults.map(line) : [`${faults.length} faults in the settings:`, ...faults.map(indented)]
  if (fitting !== null) lines.push(`  these would fit: ${tellFitting(fitting)}`)
  return lines.join('\n')
}

function tellFitting({ as, values }: FittingValues): string {
  const pairs = Object.entries(values)
  if (as === 'flags') return pairs.map(([name, text]) => `${flagOf(name as SettingName)} ${text}`).join(' ')
  return ['punctual set', ...pairs.map(([name, text]) => `${name} ${text}`)].join(' ')
}

function indented(fault: SettingFault): string {
  return `  ${line(fault)}`
}

function line(fault: SettingFault): string {
  return `${fault.source}: ${fault.what}; ${fault.advice}`
}
