import type { Outcome } from '../diagnostics/outcomes.ts'
import { redact } from '../redaction/redaction.ts'
import { formatElapsed } from '../resilience/duration.ts'
import type { WaitOutcome, WaitRecord } from '../resilience/waits.ts'
import { grpcStatusOf } from './http2-stream.ts'
import { pathOf, routeOf } from './route-of.ts'
import type { ProgressLimit, RequestScope } from './scope.ts'

/** Of more waits than these only the longest are listed, the rest counted. */
const MAX_WAITS = 20
const MAX_VIA = 5
const MAX_NAME_LENGTH = 100

/** A wait of the request in the access log. */
export interface AccessWait {
  readonly name: string
  /** Milliseconds. */
  readonly ms: number
  /** Percentage of the duration of the request. Waits may overlap, so the sum may exceed 100. */
  readonly share: number
  /** `open`: it had not ended when the request did. */
  readonly outcome: WaitOutcome | 'open'
}

/** The fields of a line of the access log. They contain no query string, header or body. */
export interface AccessRecord {
  readonly method: string
  /** The pattern of the route if known, else the path. */
  readonly route: string
  /** Null if no response started. */
  readonly status: number | null
  /** Of a gRPC call, whose HTTP status is always 200. */
  readonly grpcStatus?: number
  readonly outcome: Outcome
  /** Milliseconds from its acceptance to its end, including time in a queue. */
  readonly durationMs: number
  /** Milliseconds of these before it could be read. */
  readonly queuedMs: number
  readonly worker: number
  readonly requestId: string
  /** The response started, and its connection was closed before its end. */
  readonly truncated?: true
  /** The error with which the app closed its connection. */
  readonly error?: string
  /** The setting that ended it, if it made too little progress. */
  readonly endedBy?: ProgressLimit
  /** In the order in which they started. */
  readonly waits?: readonly AccessWait[]
  /** The number of waits that are not listed. */
  readonly moreWaits?: number
  /** What it waited for when it timed out, longest first. */
  readonly waiting?: readonly AccessOpenWait[]
}

/** A wait that was open when the request timed out. */
export interface AccessOpenWait {
  readonly name: string
  /** Milliseconds. */
  readonly ms: number
  /** Unnamed waits inside a named one. */
  readonly via?: readonly string[]
}

/** @param now monotonic milliseconds of its end */
export function accessRecord(scope: RequestScope, outcome: Outcome, worker: number, now: number): AccessRecord {
  const duration = now - scope.startedAt
  const streaming = hasStarted(scope)
  return {
    method: scope.request.method ?? '',
    route: routeOf(scope) ?? pathOf(scope),
    status:
      scope.substituteStatus !== null && scope.substituteStatus > 0
        ? scope.substituteStatus
        : streaming
          ? scope.response.statusCode
          : null,
    ...grpcOf(scope),
    outcome,
    durationMs: toTenths(duration),
    queuedMs: scope.queuedMs,
    worker,
    requestId: scope.id,
    ...(streaming && isTruncated(scope, outcome) ? { truncated: true } : {}),
    ...(scope.failure === null ? {} : { error: shorten(String(scope.failure)) }),
    ...(scope.endedBy === null ? {} : { endedBy: scope.endedBy }),
    ...waitsOf(scope, now, duration),
    ...waitingOf(scope, now),
  }
}

function grpcOf(scope: RequestScope): Pick<AccessRecord, 'grpcStatus'> {
  const status = scope.connection === null ? grpcStatusOf(scope) : null
  return status === null ? {} : { grpcStatus: status }
}

function isTruncated({ substituteStatus, response }: RequestScope, outcome: Outcome): boolean {
  if (substituteStatus === 0 || outcome === 'client-disconnected') return true
  return (outcome === 'failed' || outcome === 'shutdown') && !response.writableEnded
}

/** Whether the handler's response has started. */
function hasStarted(scope: RequestScope): boolean {
  if (scope.substituteStatus !== null && scope.substituteStatus > 0) return false
  return scope.begun || (scope.connection === null && scope.response.headersSent)
}

function waitsOf(scope: RequestScope, now: number, duration: number): Pick<AccessRecord, 'waits' | 'moreWaits'> {
  if (!scope.hasWaited) return {}
  const { recorded, unrecorded } = scope.waits
  if (recorded.length === 0) return {}
  const length = ({ startedAt, endedAt }: WaitRecord): number => (endedAt ?? now) - startedAt
  const listed =
    recorded.length <= MAX_WAITS
      ? recorded
      : recorded
          .toSorted((one, other) => length(other) - length(one))
          .slice(0, MAX_WAITS)
          .sort((one, other) => one.startedAt - other.startedAt)
  const more = recorded.length - listed.length + unrecorded
  const waits = listed.map((record) => ({
    name: shorten(record.name),
    ms: toTenths(length(record)),
    share: duration > 0 ? Math.min(100, Math.round((100 * length(record)) / duration)) : 0,
    outcome: record.outcome ?? ('open' as const),
  }))
  return more === 0 ? { waits } : { waits, moreWaits: more }
}

function waitingOf({ waitsAtTimeout }: RequestScope, now: number): Pick<AccessRecord, 'waiting'> {
  if (waitsAtTimeout === null || waitsAtTimeout.length === 0) return {}
  const waiting = waitsAtTimeout.slice(0, MAX_WAITS).map(({ name, since, via }) => {
    const wait = { name: shorten(name), ms: toTenths(now - since) }
    return via === undefined ? wait : { ...wait, via: via.slice(0, MAX_VIA).map(shorten) }
  })
  return { waiting }
}

/** Names of waits and messages of errors are texts of the app. */
function shorten(text: string): string {
  const name = redact(text)
  return name.length <= MAX_NAME_LENGTH ? name : `${name.slice(0, MAX_NAME_LENGTH)}…`
}

function toTenths(value: number): number {
  return Math.round(value * 10) / 10
}

/**
 * Time in a queue, and waits, are mentioned if they took at least this percentage of the duration.
 */
const MIN_SHARE = 10

/**
 * Formats the message of the line: `POST /api/auth 503 timed out after 30.0 s; waiting 29.9 s for
 * 127.0.0.1:5432 (postgresql)`.
 *
 * @param waiting its open waits, as `formatOpenWaits` returns them; empty for none
 */
export function formatAccessLine(record: AccessRecord, waiting: string): string {
  const { method, route, durationMs, queuedMs } = record
  const isQueued = queuedMs > 0 && queuedMs * 100 >= durationMs * MIN_SHARE
  const queued = isQueued ? `, ${formatElapsed(queuedMs)} of it queued` : ''
  const reason = waiting === '' ? reasonOf(record) : waiting
  const elapsed = `${formatElapsed(durationMs)}${queued}`
  return `${method} ${route} ${resultOf(record)}after ${elapsed}${reason === '' ? '' : `; ${reason}`}`
}

const RESULTS: Readonly<Record<Outcome, string>> = {
  completed: '',
  degraded: 'degraded ',
  'timed-out': 'timed out ',
  shed: 'shed ',
  failed: 'failed ',
  'client-disconnected': 'client disconnected ',
  shutdown: 'aborted ',
}

function resultOf({ outcome, status: httpStatus, grpcStatus, truncated }: AccessRecord): string {
  const status = grpcStatus === undefined ? httpStatus : `${httpStatus} (grpc-status ${grpcStatus})`
  const result = RESULTS[outcome]
  if (truncated === true) return `${status} ${result}while streaming `
  if (outcome === 'client-disconnected') return result
  return status === null ? `${result}without a response ` : `${status} ${result}`
}

const PROGRESS_REASONS: Readonly<Record<ProgressLimit, string>> = {
  minRequestRate: 'client sent more slowly than minRequestRate',
  minResponseRate: 'client received more slowly than minResponseRate',
  streamIdleTimeout: 'app sent nothing for streamIdleTimeout',
}

function reasonOf({ outcome, endedBy, error, waits = [] }: AccessRecord): string {
  if (endedBy !== undefined) return PROGRESS_REASONS[endedBy]
  if (error !== undefined) return error
  if (outcome === 'shutdown') return 'worker shut down'
  const last = (wanted: string): AccessWait | undefined => waits.findLast((wait) => wait.outcome === wanted)
  if (outcome === 'degraded') {
    const replaced = last('degraded')
    if (replaced !== undefined) return `fallback for ${replaced.name} after ${formatElapsed(replaced.ms)}`
  }
  if (outcome === 'timed-out') {
    const timedOut = last('timed-out')
    if (timedOut !== undefined) return `${timedOut.name} timed out after ${formatElapsed(timedOut.ms)}`
    const refused = last('refused')
    if (refused !== undefined) return `not enough time left for ${refused.name}`
  }
  return longestWait(waits)
}

function longestWait(waits: readonly AccessWait[]): string {
  let longest: AccessWait | undefined
  for (const wait of waits) if (longest === undefined || wait.ms > longest.ms) longest = wait
  if (longest === undefined || longest.share < MIN_SHARE) return ''
  return `${formatElapsed(longest.ms)} of it waiting for ${longest.name}`
}
