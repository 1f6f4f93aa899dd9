import { pause } from '../../../src/wait/clock.ts'
import { ms, tellDuration } from '../../../src/wait/duration.ts'
import { readDatabaseUrl } from '../database/database-url.ts'
import type { ReleaseReport } from '../database/release-report.ts'
import { SEED_PASSWORD } from '../database/seed.ts'
import type { RunFlags } from './run-flags.ts'
import { urlOf } from './run-flags.ts'

/** One line of what a person should know. */
export function say(topic: string, text: string): void {
  console.log(`${topic.padEnd(10)}${text}`)
}

export function announceRelease(report: ReleaseReport): void {
  const { migrations, seeded } = report
  const migrated =
    migrations.length === 0
      ? 'all migrations are in place'
      : `${migrations.length} ${migrations.length === 1 ? 'migration' : 'migrations'} run in ${tellDuration(report.migrationMs)} (${migrations.join(', ')})`
  const rows = seeded === 0 ? 'all users are there' : `${seeded} users seeded in ${tellDuration(report.seedMs)}`
  say('release', `${migrated}; ${rows}`)
}

/** The server and database of a connection string, without user and password; or the file. */
export function tellDatabase(url: string): string {
  const address = readDatabaseUrl(url)
  if (address.kind === 'sqlite') return address.path
  const { hostname, port, pathname } = new URL(url)
  return `${hostname}:${port === '' ? '5432' : port}${pathname}`
}

interface StatusExcerpt {
  readonly ready: boolean
  readonly address: string | null
  readonly workers: readonly { readonly state: string; readonly pid: number | null }[]
}

/** Waits until Punctual says it is ready (`ended` stops the wait), then says where everything is. */
export async function announceReady(flags: RunFlags, ended: AbortSignal): Promise<void> {
  const admin = urlOf(flags.adminHost, flags.adminPort)
  const status = await waitReady(admin, ended)
  if (status === undefined) return
  const app = appUrl(flags, status.address)
  const pids = status.workers.filter(({ state }) => state === 'ready').map(({ pid }) => pid)
  say('workers', `${pids.length} ready (pids ${pids.join(', ')})`)
  say('app', `${app}/   the page: what to try, and what you see`)
  say(
    'sign in',
    `curl -i ${app}/login -H 'content-type: application/json' -d '{"username":"ada","password":"${SEED_PASSWORD}"}'`,
  )
  say('admin', `${admin}/status   and /incidents, /metrics, /readyz`)
  say('stop', 'Ctrl-C: finishes the requests in flight, then stops everything npm start has started. Twice: at once.')
}

async function waitReady(admin: string, ended: AbortSignal): Promise<StatusExcerpt | undefined> {
  while (!ended.aborted) {
    try {
      const answer = await fetch(`${admin}/status`, { signal: AbortSignal.any([ended, AbortSignal.timeout(2_000)]) })
      const status = (await answer.json()) as StatusExcerpt
      // Workers whose number has been asked for, all of them, unless one is in trouble: then it is the log that tells.
      if (status.ready && status.workers.every(({ state }) => state !== 'booting' && state !== 'spawned')) return status
    } catch {
      // Not there yet. Punctual has a limit for booting, and its end ends this wait.
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
