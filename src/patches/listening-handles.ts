/**
 * Patch of `net._createServerHandle`, the function with which `node:cluster` creates its shared
 * handles (in the arbiter).
 *
 * Why: cluster closes a listening socket when the last worker that used it exits, and with it the
 * connections in its backlog: after a kill of the only worker, clients would be refused or reset
 * until the next one has booted. With the patch they wait. If Node has no such function, cluster
 * behaves as usual.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: src/patches/listening-handles.test.ts
 */
import net from 'node:net'
import { monotonicNow } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'

type Handle = { close: (callback?: () => void) => void }
type CreateHandle = (...address: unknown[]) => Handle | number

interface KeptHandle {
  readonly key: string
  readonly handle: Handle
  /** Node's own `close` of the handle. */
  readonly close: () => void
  /** Monotonic milliseconds; null while a worker uses it. */
  unusedSince: number | null
}

/** The listening sockets that outlive their workers. */
export interface KeptHandles {
  /**
   * Closes those that no worker has used for longer than this: the app no longer listens there, and
   * clients should be refused.
   */
  closeUnused(longerThan: Milliseconds): void
}

/**
 * Keeps every TCP listening socket of the app open when its workers exit: `close` does nothing, and
 * the same address gets the same handle.
 */
export function keepListeningHandles(): KeptHandles {
  const internal = net as typeof net & { _createServerHandle?: CreateHandle }
  const create = internal._createServerHandle
  // Several handles may have one address: two servers of an app that both ask for a free port.
  let kept: KeptHandle[] = []
  const closeUnused = (longerThan: Milliseconds): void => {
    const now = monotonicNow()
    const isOver = ({ unusedSince }: KeptHandle): boolean => unusedSince !== null && now - unusedSince > longerThan
    for (const one of kept.filter(isOver)) one.close()
    kept = kept.filter((one) => !isOver(one))
  }
  if (typeof create !== 'function') return { closeUnused }

  internal._createServerHandle = (...address) => {
    // TCP only: the file of a Unix socket must go with its server.
    if (address[2] !== 4 && address[2] !== 6) return create(...address)
    const key = JSON.stringify(address)
    const known = kept.find((one) => one.key === key && one.unusedSince !== null)
    if (known !== undefined) {
      known.unusedSince = null
      return known.handle
    }
    const handle = create(...address)
    // A number is an error code: EADDRINUSE, EACCES.
    if (typeof handle !== 'object') return handle
    const close = handle.close.bind(handle)
    const one: KeptHandle = { key, handle, close, unusedSince: null }
    handle.close = (callback) => {
      one.unusedSince = monotonicNow()
      callback?.()
    }
    kept.push(one)
    return handle
  }
  return { closeUnused }
}
