/**
 * Patch of `cluster._getServer`, with which sockets of a worker ask the arbiter for their handle
 * (`net.Server.listen` and `dgram.Socket.bind`).
 *
 * Why: the channel to the arbiter does not keep the process alive, so that an app without a server
 * or a timer exits as under `node`. An app that waits for its handle must not exit: it would
 * otherwise end in the middle of `bind`. If Node has no such function, only servers hold the
 * process.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: test/compatibility/habits/sockets.test.ts
 */
import cluster from 'node:cluster'

type GetServer = (
  self: object,
  options: object,
  callback: (this: unknown, error: unknown, handle: unknown) => void,
) => void

/**
 * Reports when this worker waits for at least one handle, and when it no longer does.
 *
 * @param waiting called with the number of handles that it waits for, after each change
 */
export function observeClusterQueries(waiting: (count: number) => void): void {
  const internal = cluster as unknown as { _getServer?: GetServer }
  const query = internal._getServer
  if (typeof query !== 'function') return
  let count = 0
  internal._getServer = function (self, options, callback) {
    waiting(++count)
    query.call(this, self, options, function (error, handle) {
      waiting(--count)
      callback.call(this, error, handle)
    })
  }
}
