import type { IncomingMessage } from 'node:http'
import { redactTarget } from '../redaction/redaction.ts'
import type { RequestScope } from './scope.ts'

/** Longer routes and paths, which come from clients, are truncated. */
const MAX_LENGTH = 200

/** Scheme and host of a whole URL. */
const ORIGIN = /^[a-z][a-z\d+.-]*:\/\/[^/]*/i

/** Properties that Express sets on the request. */
interface ExpressRequest extends IncomingMessage {
  readonly originalUrl?: unknown
  readonly baseUrl?: unknown
  readonly route?: unknown
}

/**
 * The pattern of a request's route, e.g. `/users/:id`, as set by an adapter or the app, or left on
 * the request by Express; null if unknown.
 */
export function routeOf(scope: RequestScope): string | null {
  const { request } = scope
  const route = scope.route ?? expressPattern((request as ExpressRequest).route, (request as ExpressRequest).baseUrl)
  return route === null ? null : truncate(route)
}

/**
 * The pattern of an Express route, including the path of its router. Several paths of one route are
 * joined by `|`.
 */
export function expressPattern(route: unknown, baseUrl: unknown): string | null {
  if (typeof route !== 'object' || route === null || !('path' in route)) return null
  const { path } = route
  const own = Array.isArray(path) ? path.map(String).join('|') : String(path)
  // Sails sets a whole URL, with the host that the client sent.
  const base = typeof baseUrl === 'string' ? baseUrl.replace(ORIGIN, '') : ''
  return base !== '' && own === '/' ? base : base + own
}

/**
 * The path that a client requested, without its query and segments that look like a token, and
 * without scheme and host if it sent a whole URL.
 */
export function pathOf(scope: RequestScope): string {
  const request = scope.request as ExpressRequest
  // Frameworks remove the prefix from `url` while a mounted router handles the request.
  const target = typeof request.originalUrl === 'string' ? request.originalUrl : (request.url ?? '')
  const path = redactTarget(target)
  return truncate(path.startsWith('/') ? path : path.replace(ORIGIN, '') || '/')
}

function truncate(text: string): string {
  return text.length <= MAX_LENGTH ? text : `${text.slice(0, MAX_LENGTH)}…`
}
