import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { http } from './node-http.ts'
import { type RequestScope, scopeOfResponse } from './scope.ts'

/** Waits by name that are told; of more, the longest. */
const MOST_WAITS = 10
const LONGEST_NAME = 60
const HEADER = 'server-timing'

type WriteHead = (this: ServerResponse, status: number, reason?: unknown, headers?: unknown) => ServerResponse

/**
 * Adds `Server-Timing` (W3C) to every response: the whole time until its head was sent, and that of each wait that had ended by then. Every
 * head of HTTP/1.1 passes through `writeHead`, the implicit ones too. To be called at most once, and only if it is wanted.
 */
export function hookServerTiming(): void {
  const { prototype } = http.ServerResponse
  const writeHead = prototype.writeHead as WriteHead
  const timed: WriteHead = function (this: ServerResponse, status, reason, headers) {
    const scope = scopeOfResponse(this)
    if (scope === undefined || this.headersSent) return writeHead.call(this, status, reason, headers)
    const value = serverTiming(scope)
    // Node takes a list of headers as it is only while none was set before, and else not in all its forms.
    if (this.getHeaderNames().length === 0) {
      if (Array.isArray(headers)) return writeHead.call(this, status, reason, withTiming(headers, value))
      if (Array.isArray(reason)) return writeHead.call(this, status, withTiming(reason, value))
    }
    const given = (typeof reason === 'string' ? headers : (headers ?? reason)) as OutgoingHttpHeaders | undefined
    // What the app says itself in this call takes the place of ours.
    if (given === undefined || given === null || !hasTiming(given)) this.appendHeader(HEADER, value)
    return writeHead.call(this, status, reason, headers)
  }
  Object.defineProperty(prototype, 'writeHead', { value: timed, writable: true, configurable: true, enumerable: false })
}

/** The value of the header now: `total;dur=31.5, user_look-up;dur=30.2`. Durations are milliseconds; waits of one name are added up. */
function serverTiming(scope: RequestScope): string {
  const parts = [`total;dur=${scope.age.toFixed(1)}`]
  if (!scope.hasWaited) return parts[0] as string
  const waits = new Map<string, number>()
  for (const { name, startedAt, endedAt } of scope.waits.recorded) {
    if (endedAt === null) continue
    const token = tokenOf(name)
    waits.set(token, (waits.get(token) ?? 0) + endedAt - startedAt)
  }
  const longest = [...waits].sort((one, other) => other[1] - one[1]).slice(0, MOST_WAITS)
  for (const [token, duration] of longest) parts.push(`${token};dur=${duration.toFixed(1)}`)
  return parts.join(', ')
}

/** The name of a wait as a token of RFC 9110, 5.6.2. */
function tokenOf(name: string): string {
  return name.slice(0, LONGEST_NAME).replace(/[^\w!#$%&'*+.^`|~-]+/g, '_') || 'wait'
}

/** Node takes names and values in turn, or pairs of them. */
function withTiming(headers: readonly unknown[], value: string): readonly unknown[] {
  return Array.isArray(headers[0]) ? [...headers, [HEADER, value]] : [...headers, HEADER, value]
}

function hasTiming(headers: OutgoingHttpHeaders): boolean {
  return Object.keys(headers).some((name) => name.toLowerCase() === HEADER)
}
