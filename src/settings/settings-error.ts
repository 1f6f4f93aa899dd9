import { PunctualError } from '../errors/punctual-error.ts'

/** One thing that is wrong with the settings. */
export interface SettingFault {
  /** Name of the setting, where there is one. */
  readonly setting: string | null
  /** Where it came from: `--workers`, `PUNCTUAL_WORKERS`, `punctual.config.ts: workers`. */
  readonly source: string
  /** What is wrong, as the rest of a sentence that begins with the source. */
  readonly what: string
  /** What to do, as a sentence without its full stop. */
  readonly advice: string
}

/** Settings that do not apply, with all their faults. Code `PUNCTUAL_SETTINGS_INVALID`, exit code 2. */
export class SettingsError extends PunctualError {
  static {
    SettingsError.prototype.name = 'SettingsError'
  }

  readonly faults: readonly SettingFault[]

  constructor(
    faults: readonly SettingFault[],
    options: {
      readonly cause?: unknown
      /** Flags with values that would fit together, where only defaults stand in the way. */
      readonly fitting?: readonly string[]
    } = {},
  ) {
    super('PUNCTUAL_SETTINGS_INVALID', tell(faults, options.fitting ?? []), {
      cause: options.cause,
      details: { faults },
    })
    this.faults = faults
  }
}

function tell(faults: readonly SettingFault[], fitting: readonly string[]): string {
  const lines =
    faults.length === 1 ? faults.map(line) : [`${faults.length} faults in the settings:`, ...faults.map(indented)]
  if (fitting.length > 0) lines.push(`  these would fit: ${fitting.join(' ')}`)
  return lines.join('\n')
}

function indented(fault: SettingFault): string {
  return `  ${line(fault)}`
}

function line(fault: SettingFault): string {
  return `${fault.source}: ${fault.what}; ${fault.advice}`
}
