import { hostname } from 'node:os'
import { crc32 } from 'node:zlib'
import { isProcessRunning, type ProcessIdentity, startOf, thisProcess } from '../../system/process-identity.ts'

/** `<host>-<pid>-<start of the process>.<machine>`; a host name may have dashes itself. */
const FORM = /^(.+)-(\d+)-(\d+)\.([0-9a-f]{8})$/

let ours: string | undefined

/**
 * Who writes in this process, as the name of a directory: host, pid, when the process started (so that a pid that is used again is somebody else), and a mark of the
 * machine: a pid means nothing after a reboot or in another container.
 */
export function thisOwner(): string {
  ours ??= `${host()}-${process.pid}-${startOf(process.pid) ?? 0}.${machine()}`
  return ours
}

export function isOwnerName(name: string): boolean {
  return FORM.test(name)
}

/** Whether the owner belongs to the process table that this process sees; of another only its last sign of life is known. */
export function isOfThisMachine(owner: string): boolean {
  return FORM.exec(owner)?.[4] === machine()
}

/**
 * Whether the process that is this owner runs. One that another machine or container names is taken for dead: `adopt` looks for a sign of life of it.
 */
export function isOwnerAlive(owner: string): boolean {
  if (owner === thisOwner()) return true
  const [, , pidText = '', start = ''] = FORM.exec(owner) ?? []
  if (!isOfThisMachine(owner)) return false
  return isProcessRunning({ pid: Number(pidText), start: start === '0' ? null : Number(start) })
}

function host(): string {
  return (
    hostname()
      .replaceAll(/[^\w.-]/g, '_')
      .slice(0, 64) || 'localhost'
  )
}

let mark: string | undefined

function machine(): string {
  mark ??= markOf(thisProcess())
  return mark
}

function markOf({ hostname, bootId, pidNamespace }: ProcessIdentity): string {
  const text = `${hostname}\n${bootId === null ? '' : `${bootId}\n`}\n${pidNamespace ?? ''}`
  return crc32(text).toString(16).padStart(8, '0')
}
