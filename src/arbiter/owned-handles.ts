import net from 'node:net'

type Handle = { close: (callback?: () => void) => void }
type CreateHandle = (...address: unknown[]) => Handle | number

/**
 * Keeps every listening socket of the app open for as long as the arbiter lives. `node:cluster` closes one when the last worker that
 * used it has gone, and with it the connections waiting in its backlog: after a kill of the only worker, clients would be
 * refused or reset until the next has booted. So they wait instead.
 *
 * Cluster creates its shared handles through `net._createServerHandle`, which is wrapped here: the same address gets the same
 * handle again, and closing it does nothing. Where a version of Node has no such function, cluster's own way remains.
 */
export function ownListeningHandles(): void {
  const internal = net as typeof net & { _createServerHandle?: CreateHandle }
  const create = internal._createServerHandle
  if (typeof create !== 'function') return
  const owned = new Map<string, { readonly handle: Handle; inUse: boolean }>()
  internal._createServerHandle = (...address) => {
    // Only TCP: a Unix socket's file must go when its server does.
    if (address[2] !== 4 && address[2] !== 6) return create(...address)
    const key = JSON.stringify(address)
    const known = owned.get(key)
    if (known?.inUse === false) {
      known.inUse = true
      return known.handle
    }
    const handle = create(...address)
    // A number is an error code: EADDRINUSE, EACCES.
    if (typeof handle !== 'object') return handle
    const entry = { handle, inUse: true }
    handle.close = (callback) => {
      entry.inUse = false
      callback?.()
    }
    owned.set(key, entry)
    return handle
  }
}
