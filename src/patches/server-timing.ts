/**
 * Patch of `http.ServerResponse.prototype.writeHead`, only with `serverTiming: on`. Implicit heads
 * of HTTP/1.1 pass through it, too.
 *
 * Why: the duration is known only when the head is sent, and Node has no event before that.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: src/patches/server-timing.test.ts
 */
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { http } from '../http/node-http.ts'
import { type RequestScope, scopeOfResponse } from '../http/scope.ts'
import { redact } from '../redaction/redaction.ts'
import { defineMethod } from './patch-function.ts'

/** The longest waits are listed. */
const MAX_WAITS = 10
const MAX_NAME_LENGTH = 60
const HEADER = 'server-timing'

type WriteHead = (this: ServerResponse, status: number, reason?: unknown, headers?: unknown) => ServerResponse

/**
 * Adds `Server-Timing` (W3C) to every response: the time until its head was sent, and the time of
 * each wait that had ended by then. Called at most once, and only with `serverTiming: on`.
 */
export function patchServerTiming(): void {
  const { prototype } = http.ServerResponse
  const writeHead = prototype.writeHead as WriteHead
  const patched: WriteHead = function (this: ServerResponse, status, reason, headers) {
    const scope = scopeOfResponse(this)
    if (scope === undefined || this.headersSent) return writeHead.call(this, status, reason, headers)
    const value = serverTiming(scope)
    // Node accepts a list of headers in all its forms only while no header was set before.
    if (this.getHeaderNames().length === 0) {
      if (Array.isArray(headers)) return writeHead.call(this, status, reason, withTiming(headers, value))
      if (Array.isArray(reason)) return writeHead.call(this, status, withTiming(reason, value))
    }
    const given = (typeof reason === 'string' ? headers : (headers ?? reason)) as OutgoingHttpHeaders | undefined
    // The app's own header in this call replaces ours.
    if (given === undefined || given === null || !hasTiming(given)) this.appendHeader(HEADER, value)
    return writeHead.call(this, status, reason, headers)
  }
  defineMethod(prototype, 'writeHead', patched)
}

/**
 * `total;dur=31.5, user_look-up;dur=30.2`. Durations are in milliseconds; waits with the same name
 * are added up.
 */
function serverTiming(scope: RequestScope): string {
  const parts = [`total;dur=${scope.age.toFixed(1)}`]
  if (!scope.hasWaited) return parts[0] as string
  const waits = new Map<string, number>()
  for (const { name, startedAt, endedAt } of scope.waits.recorded) {
    if (endedAt === null) continue
    const token = tokenOf(name)
    waits.set(token, (waits.get(token) ?? 0) + endedAt - startedAt)
  }
  const longest = [...waits].sort((one, other) => other[1] - one[1]).slice(0, MAX_WAITS)
  for (const [token, duration] of longest) parts.push(`${token};dur=${duration.toFixed(1)}`)
  return parts.join(', ')
}

/** Makes the name of a wait a token (RFC 9110, 5.6.2). */
function tokenOf(name: string): string {
  return (
    redact(name)
      .slice(0, MAX_NAME_LENGTH)
      .replace(/[^\w!#$%&'*+.^`|~-]+/g, '_') || 'wait'
  )
}

/** Node accepts names and values in turn, or pairs. */
function withTiming(headers: readonly unknown[], value: string): readonly unknown[] {
  return Array.isArray(headers[0]) ? [...headers, [HEADER, value]] : [...headers, HEADER, value]
}

function hasTiming(headers: OutgoingHttpHeaders): boolean {
  return Object.keys(headers).some((name) => name.toLowerCase() === HEADER)
}
