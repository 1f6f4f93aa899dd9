import { SettingError } from './app-error.ts'
import type { AppSettings } from './build-app.ts'
import { readDatabaseUrl } from './database/database-url.ts'

/**
 * Reads the app's settings from the environment: `DATABASE_URL` (required), `DATABASE_POOL_MAX`,
 * `PARTNER_URL`, `SMTP_URL`, `REDIS_URL`, `FAULTS_URL`, `ADMIN_URL`, `LOG_LEVEL`, `STATE_DIR`
 * (default `.punctual`; under Punctual its own state directory is used).
 *
 * @throws SettingError if one is missing or invalid
 */
export function readAppSettings(env: NodeJS.ProcessEnv): AppSettings {
  const { DATABASE_URL: databaseUrl, DATABASE_POOL_MAX: max, ADMIN_URL: adminUrl, LOG_LEVEL: logLevel } = env
  const partnerUrl = readUrl('PARTNER_URL', env)
  const faultsUrl = readUrl('FAULTS_URL', env)
  const smtpUrl = readUrl('SMTP_URL', env, 'smtp://127.0.0.1:2525', /^smtps?:$/)
  const redisUrl = readUrl('REDIS_URL', env, 'redis://127.0.0.1:6379', /^rediss?:$/)
  if (databaseUrl === undefined || databaseUrl === '') {
    throw new SettingError(
      'DATABASE_URL',
      'missing',
      'DATABASE_URL is not set. `npm start` sets it; alone, set it to postgres://user:password@host:port/database, or sqlite:./file.db.',
    )
  }
  readDatabaseUrl(databaseUrl)
  if (max !== undefined && !/^[1-9]\d{0,3}$/.test(max)) {
    throw new SettingError(
      'DATABASE_POOL_MAX',
      'not-a-count',
      `DATABASE_POOL_MAX is "${max}"; it must be a whole number from 1 to 9999.`,
    )
  }
  return {
    databaseUrl,
    stateDir: env.STATE_DIR || '.punctual',
    ...(max === undefined ? {} : { databasePoolMax: Number(max) }),
    ...(partnerUrl === undefined ? {} : { partnerUrl }),
    ...(faultsUrl === undefined ? {} : { faultsUrl }),
    ...(smtpUrl === undefined ? {} : { smtpUrl }),
    ...(redisUrl === undefined ? {} : { redisUrl }),
    ...(adminUrl === undefined ? {} : { adminUrl }),
    ...(logLevel === undefined ? {} : { logLevel }),
  }
}

function readUrl(
  name: string,
  env: NodeJS.ProcessEnv,
  example = 'http://127.0.0.1:4000',
  protocol = /^https?:$/,
): string | undefined {
  const text = env[name]
  if (text === undefined || text === '') return undefined
  if (protocol.test(URL.parse(text)?.protocol ?? '')) return text.replace(/\/$/, '')
  throw new SettingError(name, 'not-a-url', `${name} is "${text}"; it must be a URL such as ${example}.`)
}
