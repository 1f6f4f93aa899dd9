import { redact } from '../redaction/redaction.ts'
import { formatElapsed } from '../resilience/duration.ts'
import type { WaitNode } from '../resilience/wait-node.ts'
import type { WaitRecord } from '../resilience/waits.ts'
import type { OpenWait, RequestScope } from './scope.ts'
import { SocketWait } from './unnamed/client-socket.ts'
import { FileWait, LookupWait } from './unnamed/operations.ts'
import { OutgoingCall } from './unnamed/outgoing-calls.ts'
import type { UnnamedWait, UnnamedWaits } from './unnamed/unnamed-waits.ts'

/**
 * What this request waits for now, longest first: named waits, and unnamed ones that are not part
 * of another entry.
 */
export function openWaits(scope: RequestScope): OpenWait[] {
  const named = scope.open()
  const unnamed = scope.unnamed === null ? [] : describeUnnamed(scope.unnamed)
  const inside = new Map<WaitRecord, string[]>()
  const alone: OpenWait[] = []
  for (const wait of unnamed) {
    const { name, since } = wait
    const owner = namedOwnerOf(wait, named)
    if (owner === null) alone.push({ name, since })
    else inside.set(owner, [...(inside.get(owner) ?? []), name])
  }
  const waits = named.map((record): OpenWait => {
    const { name, startedAt: since } = record
    const via = inside.get(record)
    return via === undefined ? { name, since } : { name, since, via }
  })
  return [...waits, ...alone].toSorted((one, other) => one.since - other.since)
}

const MAX_FORMATTED = 3

/**
 * For the log: `waiting 29.9 s for 127.0.0.1:5432 (postgresql), 2.0 s for child process sleep (pid
 * 7)`. Empty if there are no waits.
 *
 * @param now monotonic milliseconds
 */
export function formatOpenWaits(waits: readonly OpenWait[], now: number): string {
  if (waits.length === 0) return ''
  const formatted = waits.slice(0, MAX_FORMATTED).map(({ name, since, via }) => {
    const suffix = via === undefined ? '' : ` via ${via.join(' and ')}`
    return redact(`${formatElapsed(now - since)} for ${name}${suffix}`)
  })
  const more = waits.length > MAX_FORMATTED ? ` and ${waits.length - MAX_FORMATTED} more` : ''
  return `waiting ${formatted.join(', ')}${more}`
}

/** An unnamed wait with the name that was made for it. */
interface DescribedWait {
  readonly name: string
  readonly since: number
  /** The named wait, or the request, in which it was started. */
  readonly parent: WaitNode | null
}

/**
 * Only the oldest matter, and a request that reads ten thousand files must not block the loop here.
 */
const MAX_DESCRIBED = 100

/**
 * Describes unnamed waits, longest first. One operation is listed once: the socket of a call is not
 * listed besides the call.
 */
function describeUnnamed(waits: UnnamedWaits): DescribedWait[] {
  const open = waits
    .open()
    .filter(({ awaited }) => awaited)
    .slice(0, MAX_DESCRIBED)
  return open
    .filter((wait) => !open.some((other) => other !== wait && isPartOf(wait, other)))
    .map((wait) => ({ name: nameOf(wait, open), since: wait.since, parent: wait.parent }))
}

function nameOf(wait: UnnamedWait, open: readonly UnnamedWait[]): string {
  if (!(wait instanceof OutgoingCall)) return wait.describe()
  const parts = open.filter((other) => isPartOf(other, wait))
  if (parts.some((other) => other instanceof LookupWait)) return wait.describe('looking up')
  const socket = parts.find((other) => other instanceof SocketWait)
  return socket === undefined || socket.phase === 'connected' ? wait.describe() : wait.describe(socket.phase)
}

/** Whether `wait` is only how `other` is carried out. */
function isPartOf(wait: UnnamedWait, other: UnnamedWait): boolean {
  if (wait instanceof SocketWait) {
    const { target, socket } = wait.client
    if (other instanceof OutgoingCall) {
      return other.socket === null ? target.host === other.host && target.port === other.port : other.socket === socket
    }
    return other instanceof LookupWait && wait.phase === 'connecting' && target.host === other.host
  }
  if (wait instanceof LookupWait) return other instanceof OutgoingCall && other.host === wait.host
  // `writeFile` opens the file and then writes to it.
  return wait instanceof FileWait && other instanceof FileWait && other.since <= wait.since && isStepOf(wait, other)
}

function isStepOf(wait: FileWait, other: FileWait): boolean {
  const isWhole = other.operation.endsWith('File') || other.operation === 'cp'
  return isWhole && !wait.operation.endsWith('File') && wait.path === other.path
}

/**
 * The named wait that an unnamed one is part of. After an `await` it is not known for certain which
 * of several open waits continues; if they are nested, it is the innermost.
 */
function namedOwnerOf({ parent, since }: DescribedWait, named: readonly WaitRecord[]): WaitRecord | null {
  const earlier = named.filter(({ startedAt }) => startedAt <= since)
  const isKnown = earlier.some((record) => isInside(parent, record))
  const candidates = isKnown
    ? earlier.filter((record) => isInside(record, parent) || isInside(parent, record))
    : earlier
  const innermost = candidates.at(-1)
  return innermost !== undefined && candidates.every((record) => isInside(innermost, record)) ? innermost : null
}

/** By shape: the waits of an app's own copy of Punctual are recorded in the same list. */
function isInside(part: unknown, whole: unknown): boolean {
  for (let node = part as Nested | null | undefined; node !== null && node !== undefined; node = node.parent) {
    if (node === whole) return true
  }
  return false
}

type Nested = { readonly parent?: Nested | null }
