import { closeSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { workerChannel } from '../ipc/worker-channel.ts'
import { queryRules } from '../query-insight/query-rules.ts'
import { after } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'

/** The connections that an app may need, and those that the server has. */
export interface ConnectionNeeds {
  readonly workers: number
  /** The pools of one worker that connect to this server. */
  readonly pools: readonly { readonly name: string; readonly max: number }[]
  /** `max_connections` of the server. */
  readonly most: number
  /** The connections among these that are reserved, e.g. for superusers. */
  readonly reserved: number
  /** Whether Punctual reloads the app, with two generations at once. */
  readonly reloads: boolean
}

/** The server has too few connections for all workers. */
export interface ConnectionShortage extends ConnectionNeeds {
  /** The connections of one worker. */
  readonly each: number
  /** The connections of all workers. */
  readonly needed: number
  /** The connections during a reload, if there are reloads. */
  readonly peak: number
  /** The connections that the server has for the app. */
  readonly available: number
  /**
   * The largest `max` of one worker's pools together that fits; 0 if there are too many workers.
   */
  readonly enough: number
}

/** Returns the figures if the server has too few connections for all workers, else null. */
export function connectionShortage(needs: ConnectionNeeds): ConnectionShortage | null {
  const { workers, pools, most, reserved, reloads } = needs
  const each = pools.reduce((sum, { max }) => sum + max, 0)
  const needed = workers * each
  const peak = reloads ? 2 * needed : needed
  const available = most - reserved
  if (peak <= available) return null
  return { ...needs, each, needed, peak, available, enough: Math.floor(available / (peak / each)) }
}

/** Formats a shortage as a sentence with its arithmetic. */
export function formatShortage(shortage: ConnectionShortage): string {
  const { workers, pools, most, reserved, reloads, each, needed, peak, available, enough } = shortage
  const parts = pools.map(({ name, max }) => `${name} ${max}`).join(', ')
  const sum = `${workers} ${workers === 1 ? 'worker' : 'workers'} × ${each} connections (${parts}) = ${needed}`
  const reload = reloads ? `, and ${peak} during a reload` : ''
  const less = enough > 0 ? `lower \`max\` to ${enough} in total` : 'run fewer workers'
  const has = `the server has ${available} (max_connections ${most}, ${reserved} reserved)`
  return `${sum}${reload}; ${has}: ${less}, raise max_connections, or use a connection pooler`
}

/** The part of a guarded client that the check needs. */
interface CheckedClient {
  readonly client: { readonly processID: number | null; readonly host: string; readonly port: number }
  readonly connectTimeout: Milliseconds
  runOwn(sql: string, timeout: Milliseconds): Promise<unknown>
}

interface CheckedPool {
  readonly name: string
  readonly max: number
}

interface ServerSettings {
  readonly direct?: unknown
  readonly most?: unknown
  readonly reserved?: unknown
}

type OnShortage = (shortage: ConnectionShortage) => void

/** The pools of this process by server, in the order of their first connection. */
const poolsOf = new Map<string, Map<object, CheckedPool>>()
const loggedServers = new Set<string>()
/** The pools of an app usually connect one after the other, and are reported together. */
const OTHER_POOLS_CONNECT = ms(500)
const pending = new Map<string, OnShortage>()

/**
 * Asks the server for its connection limit, on the first connection of a pool, and reports if the
 * limit is too low for all workers. Skipped behind a connection pooler. The connection may be
 * checked out in the meantime: its queries wait for the answer.
 *
 * @param onShortage called once, in one worker of all
 */
export async function checkCapacity(guarded: CheckedClient, pool: CheckedPool, onShortage: OnShortage): Promise<void> {
  const { processID, host, port } = guarded.client
  if (typeof processID !== 'number') return
  const server = `${host}:${port}`
  const pools = poolsOf.get(server) ?? new Map()
  poolsOf.set(server, pools.set(pool, pool))
  const { direct, most, reserved } = (await readSettings(guarded, processID)) ?? {}
  if (direct !== true || typeof most !== 'number' || typeof reserved !== 'number') return
  const isFirst = !pending.has(server)
  pending.set(server, onShortage)
  if (!isFirst) return
  after(
    OTHER_POOLS_CONNECT,
    () => {
      const onLastShortage = pending.get(server) ?? onShortage
      pending.delete(server)
      const { workers } = queryRules()
      const reloads = workerChannel() !== null
      const named = [...pools.values()].map(({ name, max }) => ({ name, max }))
      const shortage = connectionShortage({ workers, pools: named, most, reserved, reloads })
      if (shortage !== null && shouldLog(server)) onLastShortage(shortage)
    },
    { keepAlive: false },
  )
}

/** Removes a pool that was ended from the sums. */
export function forgetPool(pool: CheckedPool): void {
  for (const pools of poolsOf.values()) pools.delete(pool)
}

async function readSettings(guarded: CheckedClient, processId: number): Promise<ServerSettings | undefined> {
  const setting = (name: string): string => `coalesce(current_setting('${name}', true), '0')::int`
  const columns = [
    `pg_backend_pid() = ${processId} as direct`,
    `${setting('max_connections')} as most`,
    `${setting('superuser_reserved_connections')} + ${setting('reserved_connections')} as reserved`,
  ]
  const sql = `select ${columns.join(', ')}`
  try {
    const { rows } = (await guarded.runOwn(sql, guarded.connectTimeout)) as {
      readonly rows: readonly ServerSettings[]
    }
    return rows[0]
  } catch {
    // A database without these settings is not checked.
    return undefined
  }
}

/** Whether no worker has logged this server since the arbiter was started. */
function shouldLog(server: string): boolean {
  if (loggedServers.has(server)) return false
  loggedServers.add(server)
  const channel = workerChannel()
  return channel === null || claimLogOfRun(channel.stateDir, server)
}

const CLAIM = 'connection-shortage-logged-'

/**
 * Claims the one log line about a server in this run of the arbiter. True for the first worker, and
 * where the claim cannot be written: two lines are better than none.
 */
export function claimLogOfRun(stateDir: string, server: string): boolean {
  try {
    const run = `${CLAIM}${runOf(stateDir)}-`
    for (const name of readdirSync(stateDir)) {
      if (name.startsWith(CLAIM) && !name.startsWith(run)) rmSync(join(stateDir, name), { force: true })
    }
    closeSync(openSync(join(stateDir, `${run}${server.replace(/[^\w.-]/g, '_')}`), 'wx'))
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'EEXIST'
  }
}

/**
 * The token of the arbiter's lock. Its pid would not do: in a container it is the same in each run.
 */
function runOf(stateDir: string): string {
  const { token } = JSON.parse(readFileSync(join(stateDir, 'arbiter.lock'), 'utf8')) as { readonly token: string }
  return token
}
