import { queryRules } from '../diagnostics/query-rules.ts'
import { workerChannel } from '../ipc/worker-channel.ts'
import { after } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { type ConnectionShortage, connectionShortage } from './connection-needs.ts'
import { isFirstOfRun } from './first-of-run.ts'
import type { GuardedClient } from './guarded-client.ts'

export interface CheckedPool {
  readonly name: string
  readonly max: number
}

interface Answer {
  readonly direct?: unknown
  readonly most?: unknown
  readonly reserved?: unknown
}

type TellShortage = (shortage: ConnectionShortage) => void

/** The pools of this process, by server, in the order they first connected. */
const poolsOf = new Map<string, Map<object, CheckedPool>>()
const told = new Set<string>()
/** An app that has several pools mostly connects them one after the other: they are told of together. */
const OTHERS_CONNECT = ms(500)
const waiting = new Map<string, TellShortage>()

/**
 * Asks a server, on the first connection of a pool, how many connections it takes, and tells whether that is enough for all workers. Behind a bouncer it is
 * the bouncer's business. The connection may be lent meanwhile: what is asked of it waits for the one answer.
 *
 * @param tell called by one worker of all, once
 */
export async function checkConnections(guarded: GuardedClient, pool: CheckedPool, tell: TellShortage): Promise<void> {
  const { processID, host, port } = guarded.client
  if (typeof processID !== 'number') return
  const server = `${host}:${port}`
  const pools = poolsOf.get(server) ?? new Map()
  poolsOf.set(server, pools.set(pool, pool))
  const row = await ask(guarded, processID)
  const { most, reserved } = row ?? {}
  if (row?.direct !== true || typeof most !== 'number' || typeof reserved !== 'number') return
  const isAlone = !waiting.has(server)
  waiting.set(server, tell)
  if (!isAlone) return
  after(
    OTHERS_CONNECT,
    () => {
      const tellLast = waiting.get(server) ?? tell
      waiting.delete(server)
      const { workers } = queryRules()
      const reloads = workerChannel() !== null
      const named = [...pools.values()].map(({ name, max }) => ({ name, max }))
      const shortage = connectionShortage({ workers, pools: named, most, reserved, reloads })
      if (shortage !== null && isFirst(server)) tellLast(shortage)
    },
    { keepAlive: false },
  )
}

/** It has ended, and takes no more connections. */
export function forgetConnections(pool: CheckedPool): void {
  for (const pools of poolsOf.values()) pools.delete(pool)
}

async function ask(guarded: GuardedClient, processId: number): Promise<Answer | undefined> {
  const setting = (name: string): string => `coalesce(current_setting('${name}', true), '0')::int`
  const sql = `select pg_backend_pid() = ${processId} as direct, ${setting('max_connections')} as most, ${setting('superuser_reserved_connections')} + ${setting('reserved_connections')} as reserved`
  try {
    const { rows } = (await guarded.own(sql, guarded.connectTimeout)) as { readonly rows: readonly Answer[] }
    return rows[0]
  } catch {
    // A database that does not know these settings is used without the check.
    return undefined
  }
}

/** Whether nobody has told of this server yet: neither this process nor, since the arbiter was started, any other worker. */
function isFirst(server: string): boolean {
  if (told.has(server)) return false
  told.add(server)
  const line = workerChannel()
  return line === null || isFirstOfRun(line.stateDir, server)
}
