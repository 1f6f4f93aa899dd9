import type { AppSettings } from './build-app.ts'

/**
 * Reads the app's settings from the environment: `DATABASE_URL` (required), `DATABASE_POOL_MAX`, `ADMIN_URL`, `LOG_LEVEL`.
 * Throws with what to do when one is missing or does not apply.
 */
export function readAppSettings(env: NodeJS.ProcessEnv): AppSettings {
  const { DATABASE_URL: databaseUrl, DATABASE_POOL_MAX: max, ADMIN_URL: adminUrl, LOG_LEVEL: logLevel } = env
  if (databaseUrl === undefined || databaseUrl === '') {
    throw new Error(
      'DATABASE_URL is not set. `npm start` sets it; alone, set it to postgres://user:password@host:port/database.',
    )
  }
  if (max !== undefined && !/^[1-9]\d{0,3}$/.test(max)) {
    throw new Error(`DATABASE_POOL_MAX is "${max}"; it must be a whole number from 1 to 9999.`)
  }
  return {
    databaseUrl,
    ...(max === undefined ? {} : { databasePoolMax: Number(max) }),
    ...(adminUrl === undefined ? {} : { adminUrl }),
    ...(logLevel === undefined ? {} : { logLevel }),
  }
}
