import type { WaitNode } from '../../resilience/wait-node.ts'
import { SocketWait } from './client-socket.ts'
import { FileWait } from './hook-files.ts'
import { LookupWait } from './hook-lookups.ts'
import { OutgoingCall } from './outgoing-call.ts'
import type { UnnamedWait, UnnamedWaits } from './unnamed-waits.ts'

/** An unnamed wait with the name that is made for it. */
export interface ToldWait {
  readonly name: string
  readonly since: number
  /** What it was begun in. */
  readonly around: WaitNode | null
}

/** A request that reads ten thousand files at once must not hold the loop up while they are told; those that matter are the oldest. */
const MOST_LOOKED_AT = 100

/** What has been begun and not answered, the longest first. One thing is told once: of a call the socket beneath is not told as well. */
export function tellUnnamed(waits: UnnamedWaits): ToldWait[] {
  const open = waits
    .open()
    .filter(({ awaited }) => awaited)
    .slice(0, MOST_LOOKED_AT)
  return open
    .filter((wait) => !open.some((other) => other !== wait && isBeneath(wait, other)))
    .map((wait) => ({ name: nameOf(wait, open), since: wait.since, around: wait.around }))
}

function nameOf(wait: UnnamedWait, open: readonly UnnamedWait[]): string {
  if (!(wait instanceof OutgoingCall)) return wait.tell()
  const beneath = open.filter((other) => isBeneath(other, wait))
  if (beneath.some((other) => other instanceof LookupWait)) return wait.tell('looking up')
  const socket = beneath.find((other) => other instanceof SocketWait)
  return socket === undefined || socket.phase === 'connected' ? wait.tell() : wait.tell(socket.phase)
}

/** Whether one is only how the other is done. */
function isBeneath(wait: UnnamedWait, other: UnnamedWait): boolean {
  if (wait instanceof SocketWait) {
    const { target, socket } = wait.client
    if (other instanceof OutgoingCall) {
      return other.socket === null ? target.host === other.host && target.port === other.port : other.socket === socket
    }
    return other instanceof LookupWait && wait.phase === 'connecting' && target.host === other.host
  }
  if (wait instanceof LookupWait) return other instanceof OutgoingCall && other.host === wait.host
  // `writeFile` opens, and then writes.
  return wait instanceof FileWait && other instanceof FileWait && other.since <= wait.since && isWithin(wait, other)
}

function isWithin(wait: FileWait, other: FileWait): boolean {
  const whole = other.operation.endsWith('File') || other.operation === 'cp'
  return whole && !wait.operation.endsWith('File') && wait.path === other.path
}
