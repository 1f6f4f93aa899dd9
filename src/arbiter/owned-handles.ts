import net from 'node:net'
import { monotonicNow } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'

type Handle = { close: (callback?: () => void) => void }
type CreateHandle = (...address: unknown[]) => Handle | number

interface Owned {
  readonly key: string
  readonly handle: Handle
  /** Closes it in earnest. */
  readonly close: () => void
  /** Monotonic milliseconds; null while a worker uses it. */
  unusedSince: number | null
}

/** The listening sockets that outlive their workers. */
export interface OwnedHandles {
  /** Closes those that no worker has used for longer than this: the app does not listen there any more, and who connects should be refused. */
  closeUnused(longerThan: Milliseconds): void
}

/**
 * Keeps every listening socket of the app open when its workers go. `node:cluster` closes one when the last worker that
 * used it has gone, and with it the connections waiting in its backlog: after a kill of the only worker, clients would be
 * refused or reset until the next has booted. So they wait instead.
 *
 * Cluster creates its shared handles through `net._createServerHandle`, which is wrapped here: the same address gets the same
 * handle again, and closing it does nothing. Where a version of Node has no such function, cluster's own way remains.
 */
export function ownListeningHandles(): OwnedHandles {
  const internal = net as typeof net & { _createServerHandle?: CreateHandle }
  const create = internal._createServerHandle
  // Several may have one address: two servers of an app that both ask for a free port.
  let owned: Owned[] = []
  const closeUnused = (longerThan: Milliseconds): void => {
    const now = monotonicNow()
    const isOver = ({ unusedSince }: Owned): boolean => unusedSince !== null && now - unusedSince > longerThan
    for (const one of owned.filter(isOver)) one.close()
    owned = owned.filter((one) => !isOver(one))
  }
  if (typeof create !== 'function') return { closeUnused }

  internal._createServerHandle = (...address) => {
    // Only TCP: a Unix socket's file must go when its server does.
    if (address[2] !== 4 && address[2] !== 6) return create(...address)
    const key = JSON.stringify(address)
    const known = owned.find((one) => one.key === key && one.unusedSince !== null)
    if (known !== undefined) {
      known.unusedSince = null
      return known.handle
    }
    const handle = create(...address)
    // A number is an error code: EADDRINUSE, EACCES.
    if (typeof handle !== 'object') return handle
    const close = handle.close.bind(handle)
    const one: Owned = { key, handle, close, unusedSince: null }
    handle.close = (callback) => {
      one.unusedSince = monotonicNow()
      callback?.()
    }
    owned.push(one)
    return handle
  }
  return { closeUnused }
}
