import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { redact } from '../redaction/redaction.ts'
import type { SettingOrigin, Settings } from './settings.ts'

/** A variable in a file of the app that has no effect, because Punctual sets it for the app. */
export interface OverriddenVariable {
  readonly variable: 'PORT' | 'HOST'
  /** Path relative to the working directory. */
  readonly file: string
  readonly message: string
}

const SETTING_OF = { PORT: 'port', HOST: 'host' } as const

/**
 * The values of `PORT` and `HOST` in the `.env` files of the app that differ from those that it
 * gets: libraries that read such files do not replace variables that are set. Files that are read
 * only for another `NODE_ENV` do not count, nor does a value that comes from the variable itself,
 * which is preferred under `node`, too.
 */
export function overriddenInEnvFiles(
  cwd: string,
  env: Readonly<Record<string, string | undefined>>,
  settings: Settings,
  origins: Readonly<Record<'port' | 'host', Pick<SettingOrigin, 'source'>>>,
): readonly OverriddenVariable[] {
  const mode = env.NODE_ENV ?? 'development'
  // Those on the left are preferred by the libraries that read several.
  const files = [`.env.${mode}.local`, '.env.local', `.env.${mode}`, '.env']
  const seen = new Set<string>()
  return files.flatMap((file) => {
    const values = read(join(cwd, file))
    return (['PORT', 'HOST'] as const).flatMap((variable) => {
      const written = values[variable]
      const setting = SETTING_OF[variable]
      const { source } = origins[setting]
      if (written === undefined || seen.has(variable)) return []
      seen.add(variable)
      const actual = String(settings[setting])
      if (written === actual || source === variable) return []
      const shown = redact(written)
      const message = `${file} sets ${variable}=${shown}, but the app gets ${variable}=${actual} (${source}); use --${setting} ${shown}`
      return [{ variable, file, message }]
    })
  })
}

function read(path: string): Readonly<Record<string, string | undefined>> {
  try {
    return parseEnv(readFileSync(path, 'utf8'))
  } catch {
    return {}
  }
}
