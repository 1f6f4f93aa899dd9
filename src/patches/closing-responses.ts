/**
 * Patch of `http.ServerResponse.prototype._storeHeader`, made when a worker starts to drain.
 *
 * Why: a header `Connection: keep-alive` that the app or a proxy library sets overrides
 * `shouldKeepAlive`: the response of a draining worker would invite its client to use a connection
 * that is about to be closed. Until then it costs nothing.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: test/compatibility/habits/draining.test.ts
 */
import type { ServerResponse } from 'node:http'
import { http } from '../http/node-http.ts'
import { defineMethod } from './patch-function.ts'

/** The private fields of a response. */
type Internals = ServerResponse & {
  _header: string | null
  _headerSent: boolean
  /** The connection closes after this response. */
  _last: boolean
}
type StoreHeader = (this: Internals, firstLine: string, headers: unknown) => void

const CONNECTION = /\r\nconnection: *([^\r]*)/i
const KEEP_ALIVE = /\r\nkeep-alive: *[^\r]*/i

let isPatched = false

/** From now on, a response with `shouldKeepAlive: false` closes its connection, and says so. */
export function closeDespiteHeaders(): void {
  if (isPatched) return
  isPatched = true
  const prototype = http.ServerResponse.prototype as unknown as { _storeHeader: StoreHeader }
  const store = prototype._storeHeader
  if (typeof store !== 'function') return
  defineMethod(prototype, '_storeHeader', function (this: Internals, firstLine: string, headers: unknown): void {
    // The headers of the app may set it.
    const closes = !this.shouldKeepAlive
    store.call(this, firstLine, headers)
    if (closes) closeConnection(this)
  })
}

/** Corrects the head of a response that has been written (`writeHead`) but not sent. */
export function closeConnection(response: ServerResponse): void {
  const internals = response as Internals
  const { _header: head } = internals
  if (typeof head !== 'string' || internals._headerSent) return
  const value = CONNECTION.exec(head)?.[1]
  if (value === undefined) internals._header = head.replace('\r\n', '\r\nConnection: close\r\n')
  // A response that upgrades its connection.
  else if (/upgrade/i.test(value)) return
  else if (!/close/i.test(value))
    internals._header = head.replace(CONNECTION, '\r\nConnection: close').replace(KEEP_ALIVE, '')
  internals.shouldKeepAlive = false
  internals._last = true
}
