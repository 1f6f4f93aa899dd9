import type { ReleaseConfig } from './release/release-config.ts'
import type { Milliseconds } from './resilience/duration.ts'
import type { Bytes, Settings } from './settings/settings.ts'

/** `250ms`, `5s`, `10m`, `1h`, `2d` or `unbounded`. */
type DurationText = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}` | 'unbounded'

/** `64KiB`, `512MiB`, `1GiB` or `unbounded`. */
type SizeText = `${number}${'KiB' | 'MiB' | 'GiB' | 'TiB'}` | 'unbounded'

type ConfigValue<Value> = Value extends Milliseconds
  ? DurationText
  : Value extends Bytes
    ? SizeText
    : Value extends number
      ? number
      : Value

interface ConfigExceptions {
  readonly workers?: number | 'auto'
  readonly logFormat?: Settings['logFormat'] | 'auto'
  readonly maxRequests?: number | 'unbounded'
  readonly crashLimit?: number | 'unbounded'
  readonly repeatedQueryThreshold?: number | 'unbounded'
  readonly maxQueriesPerRequest?: number | 'unbounded'
  readonly recycleJitter?: `${number}%`
}

/** The default export of `punctual.config.ts`: any settings, and the release steps. */
export type PunctualConfig = ConfigExceptions &
  ReleaseConfig & {
    readonly [Name in Exclude<keyof Settings, keyof ConfigExceptions>]?: ConfigValue<Settings[Name]>
  }

/**
 * Returns the config unchanged; gives an editor the names and types of the settings:
 * `export default defineConfig({ workers: 4, requestTimeout: '10s' })`.
 */
export function defineConfig(config: PunctualConfig): PunctualConfig {
  return config
}
