import { PunctualError } from '../errors/punctual-error.ts'
import type { FaultKind } from './kind.ts'
import type { SettingName } from './records.ts'
import { flagOf } from './settings.ts'

/** One thing that is wrong with the settings. */
export interface SettingFault {
  /** Name of the setting, where there is one. */
  readonly setting: string | null
  /** Where it comes from: `--workers`, `PUNCTUAL_WORKERS`, `punctual.config.ts: workers`. */
  readonly source: string
  readonly kind: FaultKind
  /** What is wrong, as a phrase that follows the source. */
  readonly what: string
  /** What to do, as a sentence without its full stop. */
  readonly advice: string
  /** The value as written, where it may be printed. */
  readonly given?: unknown
  /** What was probably meant, as it would be written. */
  readonly suggestion?: string
  /** The accepted minimum or maximum. */
  readonly bound?: string
  /** The rule that does not hold: `stallReportAfter < stallInterruptAfter`. */
  readonly rule?: string
}

/** Values with which all rules would hold, as texts by name, and how they would be given. */
export interface FittingValues {
  readonly as: 'flags' | 'set'
  readonly values: Readonly<Record<string, string>>
}

/** Invalid settings, with every fault. Code `PUNCTUAL_SETTINGS_INVALID`, exit code 2. */
export class SettingsError extends PunctualError {
  static {
    SettingsError.prototype.name = 'SettingsError'
  }

  declare readonly details: {
    readonly faults: readonly SettingFault[]
    /** Null unless only defaults contradict the settings that were given. */
    readonly fitting: Readonly<Record<string, string>> | null
  }

  constructor(
    faults: readonly SettingFault[],
    options: { readonly cause?: unknown; readonly fitting?: FittingValues | null } = {},
  ) {
    const { cause, fitting = null } = options
    super('PUNCTUAL_SETTINGS_INVALID', formatMessage(faults, fitting), {
      cause,
      details: { faults, fitting: fitting?.values ?? null },
    })
  }
}

function formatMessage(faults: readonly SettingFault[], fitting: FittingValues | null): string {
  const lines = faults.map(({ source, what, advice }) => `${source}: ${what}; ${advice}`)
  const text =
    lines.length === 1 ? lines : [`${lines.length} settings are invalid:`, ...lines.map((line) => `  ${line}`)]
  if (fitting !== null) text.push(`  try: ${formatFitting(fitting)}`)
  return text.join('\n')
}

function formatFitting({ as, values }: FittingValues): string {
  const pairs = Object.entries(values)
  if (as === 'flags') return pairs.map(([name, text]) => `${flagOf(name as SettingName)} ${text}`).join(' ')
  return ['punctual set', ...pairs.map(([name, text]) => `${name} ${text}`)].join(' ')
}
