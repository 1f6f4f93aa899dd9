import type { ReleaseStatus } from '../../../src/diagnostics/release-report.ts'
import { pause } from '../../../src/resilience/clock.ts'
import { formatElapsed, ms } from '../../../src/resilience/duration.ts'
import { readDatabaseUrl } from '../database/database-url.ts'
import { SEED_PASSWORD } from '../database/seed.ts'
import type { RunFlags } from './run-flags.ts'
import { urlOf } from './run-flags.ts'

/** Prints one line for a person. */
export function say(topic: string, text: string): void {
  console.log(`${topic.padEnd(10)}${text}`)
}

/**
 * Formats the server and database of a connection string, without user and password; or the file.
 */
export function formatDatabase(url: string): string {
  const address = readDatabaseUrl(url)
  if (address.kind === 'sqlite') return address.path
  const { hostname, port, pathname } = new URL(url)
  return `${hostname}:${port === '' ? '5432' : port}${pathname}`
}

/** Describes where lookups are cached. */
export function cacheText(redisUrl: string | undefined): string {
  const host = redisUrl === undefined ? undefined : URL.parse(redisUrl)?.host
  return host === undefined || host === ''
    ? 'in the memory of each worker alone (REDIS_URL has them share one)'
    : `in the memory of each worker, and in Redis at ${host}`
}

interface StatusExcerpt {
  readonly release: ReleaseStatus | null
  readonly ready: boolean
  readonly address: string | null
  readonly workers: readonly { readonly state: string; readonly pid: number | null }[]
}

/**
 * Waits for the release, and prints its outcome. Returns whether it succeeded; `ended` stops the
 * wait.
 */
export async function announceReleased(flags: RunFlags, ended: AbortSignal): Promise<boolean> {
  const status = await waitFor(flags, ended, ({ release }) => release?.state === 'done' || release?.state === 'skipped')
  if (status?.release === undefined || status.release === null) return false
  const { state, message, record } = status.release
  const steps = record?.steps.map(({ name, durationMs }) => `${name} ${formatElapsed(durationMs)}`)
  say('release', state === 'skipped' || steps === undefined ? message : `done (${steps.join(', ')})`)
  return true
}

/** Waits until Punctual is ready, then prints all addresses. `ended` stops the wait. */
export async function announceReady(flags: RunFlags, ended: AbortSignal): Promise<void> {
  const admin = urlOf(flags.adminHost, flags.adminPort)
  const status = await waitFor(
    flags,
    ended,
    // Waits for all workers unless one is in trouble, which the log shows.
    ({ ready, workers }) => ready && workers.every(({ state }) => state !== 'booting' && state !== 'spawned'),
  )
  if (status === undefined) return
  const app = appUrl(flags, status.address)
  const pids = status.workers.filter(({ state }) => state === 'ready').map(({ pid }) => pid)
  say('workers', `${pids.length} ready (pids ${pids.join(', ')})`)
  say('app', `${app}/   the page with things to try`)
  say(
    'sign in',
    `curl -i ${app}/login -H 'content-type: application/json' -d '{"username":"ada","password":"${SEED_PASSWORD}"}'`,
  )
  say('admin', `${admin}/status   and /incidents, /metrics, /readyz`)
  say('stop', 'Ctrl-C finishes the requests in flight, then stops everything; press it twice to stop at once')
}

async function waitFor(
  { adminHost, adminPort }: RunFlags,
  ended: AbortSignal,
  wanted: (status: StatusExcerpt) => boolean,
): Promise<StatusExcerpt | undefined> {
  const admin = urlOf(adminHost, adminPort)
  while (!ended.aborted) {
    try {
      const answer = await fetch(`${admin}/status`, { signal: AbortSignal.any([ended, AbortSignal.timeout(2_000)]) })
      const status = (await answer.json()) as StatusExcerpt
      if (wanted(status)) return status
    } catch {
      // Not listening yet. Punctual has timeouts for releasing and booting, and its exit ends this
      // wait.
    }
    await pause(ms(150))
  }
  return undefined
}

function appUrl(flags: RunFlags, address: string | null): string {
  if (flags.port > 0 && !flags.hasConfig) return urlOf(flags.host, flags.port)
  return address === null
    ? urlOf(flags.host, 3000)
    : address
        .replace(/^(?!http)/, 'http://')
        .replace(/\/$/, '')
        .replace('//0.0.0.0:', '//127.0.0.1:')
}
