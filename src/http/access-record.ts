import type { Outcome } from '../diagnostics/outcomes.ts'
import type { WaitOutcome, WaitRecord } from '../resilience/waits.ts'
import { pathOf, routeOf } from './route-of.ts'
import type { RequestScope } from './scope.ts'

/** Of more waits than these only the longest are told, the rest counted. */
const MOST_WAITS = 20
const MOST_VIA = 5
const LONGEST_NAME = 100

/** A wait of the request, as the access log tells it. */
export interface AccessWait {
  readonly name: string
  /** Milliseconds. */
  readonly ms: number
  /**
   * Of the whole time of the request, in percent. Waits may overlap, so these may add up to more
   * than 100.
   */
  readonly share: number
  /** `open`: it had not ended when the request did. */
  readonly outcome: WaitOutcome | 'open'
}

/**
 * The fields of a line of the access log. Nothing of a query string, a header or a body gets in.
 */
export interface AccessRecord {
  readonly method: string
  /** The pattern of the route where it is known, else the path. */
  readonly route: string
  /** Null where no response began. */
  readonly status: number | null
  readonly outcome: Outcome
  /** Milliseconds from its acceptance to its end, queueing included. */
  readonly durationMs: number
  /** Milliseconds of these before it could be read. */
  readonly queuedMs: number
  readonly worker: number
  readonly requestId: string
  /** Its response had begun and was cut off. */
  readonly cut?: true
  /** In the order they began. */
  readonly waits?: readonly AccessWait[]
  /** How many waits are not told. */
  readonly moreWaits?: number
  /** What it waited for when its time ran out, the longest first. */
  readonly waiting?: readonly AccessOpenWait[]
}

/** Something the request still waited for. */
export interface AccessOpenWait {
  readonly name: string
  /** Milliseconds. */
  readonly ms: number
  /** Of a wait with a name: what was seen inside it that has none. */
  readonly via?: readonly string[]
}

/** @param now monotonic milliseconds of its end */
export function accessRecord(scope: RequestScope, outcome: Outcome, worker: number, now: number): AccessRecord {
  const duration = now - scope.startedAt
  const streaming = hasBegun(scope)
  return {
    method: scope.request.method ?? '',
    route: routeOf(scope) ?? pathOf(scope),
    status:
      scope.substituteStatus !== null && scope.substituteStatus > 0
        ? scope.substituteStatus
        : streaming
          ? scope.response.statusCode
          : null,
    outcome,
    durationMs: tenths(duration),
    queuedMs: scope.queuedMs,
    worker,
    requestId: scope.id,
    ...((scope.substituteStatus === 0 || outcome === 'client-disconnected') && streaming ? { cut: true } : {}),
    ...waitsOf(scope, now, duration),
    ...waitingOf(scope, now),
  }
}

/**
 * Whether a byte of the handler's own response has left. The responses of HTTP/2 are seen by nobody
 * else.
 */
function hasBegun(scope: RequestScope): boolean {
  if (scope.substituteStatus !== null && scope.substituteStatus > 0) return false
  return scope.begun || (scope.connection === null && scope.response.headersSent)
}

function waitsOf(scope: RequestScope, now: number, duration: number): Pick<AccessRecord, 'waits' | 'moreWaits'> {
  if (!scope.hasWaited) return {}
  const { recorded, unrecorded } = scope.waits
  if (recorded.length === 0) return {}
  const length = ({ startedAt, endedAt }: WaitRecord): number => (endedAt ?? now) - startedAt
  const told =
    recorded.length <= MOST_WAITS
      ? recorded
      : recorded
          .toSorted((one, other) => length(other) - length(one))
          .slice(0, MOST_WAITS)
          .sort((one, other) => one.startedAt - other.startedAt)
  const more = recorded.length - told.length + unrecorded
  const waits = told.map((record) => ({
    name: short(record.name),
    ms: tenths(length(record)),
    share: duration > 0 ? Math.min(100, Math.round((100 * length(record)) / duration)) : 0,
    outcome: record.outcome ?? ('open' as const),
  }))
  return more === 0 ? { waits } : { waits, moreWaits: more }
}

function waitingOf({ waitsAtTimeout: unanswered }: RequestScope, now: number): Pick<AccessRecord, 'waiting'> {
  if (unanswered === null || unanswered.length === 0) return {}
  const waiting = unanswered.slice(0, MOST_WAITS).map(({ name, since, via }) => {
    const wait = { name: short(name), ms: tenths(now - since) }
    return via === undefined ? wait : { ...wait, via: via.slice(0, MOST_VIA).map(short) }
  })
  return { waiting }
}

function short(name: string): string {
  return name.length <= LONGEST_NAME ? name : `${name.slice(0, LONGEST_NAME)}…`
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10
}
