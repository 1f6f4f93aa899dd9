import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Which app is released: its lock, its records and its sessions in a shared database are told from those of others by it. */
export interface AppIdentity {
  /** The name in the `package.json` nearest to the config file; `app` where there is none. */
  readonly name: string
  readonly packageVersion: string | null
  /** Key of the advisory lock: a signed 64-bit integer, as text. */
  readonly lockKey: string
  /** Under which sessions of its steps are seen in `pg_stat_activity`. */
  readonly stepSessions: string
}

export function identifyApp(configFile: string): AppIdentity {
  const found = nearestPackage(dirname(configFile))
  const name = typeof found?.name === 'string' && found.name !== '' ? found.name : 'app'
  const digest = createHash('sha256').update(`punctual release ${name}`).digest()
  return {
    name,
    packageVersion: typeof found?.version === 'string' ? found.version : null,
    lockKey: String(digest.readBigInt64BE(0)),
    stepSessions: `punctual step ${digest.toString('hex', 8, 16)}`,
  }
}

function nearestPackage(directory: string): { readonly name?: unknown; readonly version?: unknown } | null {
  try {
    return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as { readonly name?: unknown }
  } catch {
    const above = dirname(directory)
    return above === directory ? null : nearestPackage(above)
  }
}
