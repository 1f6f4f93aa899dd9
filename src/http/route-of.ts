import type { IncomingMessage } from 'node:http'
import type { RequestScope } from './scope.ts'

/** Longer names of routes and paths are cut off: they come from clients. */
const LONGEST = 200

/** What Express leaves on the request it was given. */
interface ExpressRequest extends IncomingMessage {
  readonly originalUrl?: unknown
  readonly baseUrl?: unknown
  readonly route?: unknown
}

/**
 * The pattern of a request's route, e.g. `/users/:id`: what an adapter or the app has told, or
 * Express has left on the request; null where neither.
 */
export function routeOf(scope: RequestScope): string | null {
  const { request } = scope
  const route = scope.route ?? expressPattern((request as ExpressRequest).route, (request as ExpressRequest).baseUrl)
  return route === null ? null : cut(route)
}

/**
 * The pattern of an Express route with the place its router is mounted at. Several paths of one
 * route are joined by `|`.
 */
export function expressPattern(route: unknown, baseUrl: unknown): string | null {
  if (typeof route !== 'object' || route === null || !('path' in route)) return null
  const { path } = route
  const own = Array.isArray(path) ? path.map(String).join('|') : String(path)
  const base = typeof baseUrl === 'string' ? baseUrl : ''
  return base !== '' && own === '/' ? base : base + own
}

/**
 * The path a client has asked for, without its query and, where it sent a whole URL, without what
 * stands before the path.
 */
export function pathOf(scope: RequestScope): string {
  const request = scope.request as ExpressRequest
  // Frameworks shorten `url` while a mounted router has the request.
  const target = typeof request.originalUrl === 'string' ? request.originalUrl : (request.url ?? '')
  const path = target.replace(/[?#].*$/s, '')
  return cut(path.startsWith('/') ? path : path.replace(/^[a-z][a-z\d+.-]*:\/\/[^/]*/i, '') || '/')
}

function cut(text: string): string {
  return text.length <= LONGEST ? text : `${text.slice(0, LONGEST)}…`
}
