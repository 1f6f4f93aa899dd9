import { chmodSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Cancel } from '../../../src/resilience/clock.ts'
import { every } from '../../../src/resilience/clock.ts'
import { ms } from '../../../src/resilience/duration.ts'
import { AppError } from '../app-error.ts'
import type { Cluster } from './cluster.ts'
import type { LockOwner, LockResult } from './directory-lock.ts'
import { inUseError, isStartAlive, takeLock } from './directory-lock.ts'
import type { FromGuardian, ToGuardian } from './messages.ts'
import { endProcess, identifyProcess } from './process-identity.ts'
import { waitUntil } from './wait-until.ts'

/**
 * The process that outlives `npm start` until everything is cleaned up. It runs PostgreSQL, knows
 * the pid of Punctual, and learns from the end of its channel that `npm start` exited, for any
 * reason: then it drains Punctual, stops PostgreSQL and exits. It has a session of its own, so
 * neither Ctrl-C nor a closed terminal reaches it.
 */

let cluster: Cluster | undefined
let opening: Promise<void> = Promise.resolve()
let stopWatch: Cancel = () => {}
let releaseDirectory: () => void = () => {}
let watched: number | undefined
let leaving = false

function send(message: FromGuardian): void {
  // The receiver may have exited, which this process exists for.
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}

async function openPostgres(directory: string, ephemeral: boolean): Promise<void> {
  mkdirSync(directory, { recursive: true })
  releaseDirectory = await lockDirectory(directory)
  if (leaving) return
  // Imported late, because it installs signal handlers.
  const { openCluster } = await import('./cluster.ts')
  ignoreSignals()
  cluster = await openCluster({ directory, ephemeral })
  const { pid, url } = cluster
  const identity = identifyProcess(pid)
  stopWatch = every(ms(1_000), () => {
    if (identifyProcess(pid) === identity) return
    stopWatch()
    send({ type: 'postgres-lost' })
  })
  send({ type: 'postgres', url })
}

/** Rejects if another `npm start` is running; waits for a guardian that is still cleaning up. */
async function lockDirectory(directory: string): Promise<() => void> {
  // We must be able to write the lock even if the user of PostgreSQL owns the data beside it.
  if (process.getuid?.() === 0) chmodSync(directory, statSync(directory).mode | 0o011)
  const owner: LockOwner = {
    pid: process.pid,
    identity: identifyProcess(process.pid) ?? '',
    startPid: process.ppid,
    startIdentity: identifyProcess(process.ppid) ?? '',
  }
  const path = join(directory, 'lock')
  let result: LockResult = takeLock(path, owner)
  if (!result.held && !isStartAlive(result.by)) {
    send({ type: 'waiting', why: `waiting for an earlier run (guardian, pid ${result.by.pid}) to stop` })
    await waitUntil(
      () => {
        result = takeLock(path, owner)
        return leaving || result.held || isStartAlive(result.by)
      },
      ms(90_000),
      ms(100),
    )
  }
  if (result.held) return result.release
  if (isStartAlive(result.by)) throw inUseError(result.by, directory)
  throw new AppError(
    'DATABASE_NOT_RELEASED',
    `an earlier run (guardian, pid ${result.by.pid}) holds ${directory} and does not exit. Kill it: kill -9 ${result.by.pid}`,
    { guardian: result.by.pid, directory },
  )
}

async function leave(): Promise<void> {
  if (leaving) return
  leaving = true
  stopWatch()
  if (watched !== undefined) {
    // TERM drains, with timeouts of its own (30 s, and some more to stop).
    await endProcess(watched, [
      { signal: 'SIGTERM', timeout: ms(45_000) },
      { signal: 'SIGKILL', timeout: ms(5_000) },
    ])
  }
  await opening
  await cluster?.stop()
  releaseDirectory()
  process.exit(0)
}

/**
 * A service manager may send TERM to all processes, but Punctual must stop first, as `npm start`
 * orders.
 */
function ignoreSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.removeAllListeners(signal)
    process.on(signal, () => {})
  }
}

process.on('message', (message: ToGuardian) => {
  if (message.type === 'open-postgres') {
    opening = openPostgres(message.directory, message.ephemeral).catch((error: unknown) => {
      const message = error instanceof Error ? error.message : String(error)
      send({
        type: 'failed',
        message,
        ...(error instanceof AppError ? { code: error.code, details: error.details } : {}),
      })
    })
  } else if (message.type === 'watch') watched = message.pid
  else if (message.type === 'forget') watched = undefined
  else void leave()
})
process.on('disconnect', () => void leave())
process.on('exit', () => releaseDirectory())
ignoreSignals()
send({ type: 'up' })
