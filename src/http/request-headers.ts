import { wallClock } from '../resilience/clock.ts'

const PROXY_HEADER = 'x-request-start'
const CALLER_HEADERS = new Set(['request-timeout', 'x-request-deadline', 'grpc-timeout'])
const [X, R, G] = [120, 114, 103] as const
/** The bit that distinguishes lower case from upper case in ASCII. */
const LOWER = 32
/** Bit mask of the lengths of these names, which alone rule out most headers. */
const LENGTHS = (1 << 12) | (1 << 15) | (1 << 18)

/** Milliseconds of each unit of `grpc-timeout` (gRPC over HTTP/2, "Timeout"). */
const GRPC_UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 }

/**
 * What the headers of a request say about its time. One object is reused for all requests, so that
 * reading allocates nothing.
 */
export class TimingHeaders {
  /**
   * Milliseconds for which it was queued in front of Punctual, by the clock of its proxy; 0 if
   * unknown.
   */
  queued = 0
  /** Milliseconds from now that its caller allows; infinite if unknown. */
  allowed: number = Number.POSITIVE_INFINITY

  /** @param rawHeaders names and values in turn */
  read(rawHeaders: readonly string[]): void {
    this.queued = 0
    this.allowed = Number.POSITIVE_INFINITY
    for (let index = 0; index < rawHeaders.length; index += 2) {
      const { length } = rawHeaders[index] as string
      if (length > 18 || ((LENGTHS >> length) & 1) === 0) continue
      // Only `x-r…`, `r…` and `g…`: browsers and proxies send `accept-…`, `content-…`, `sec-…` and
      // `x-f…` of these lengths with every request.
      const raw = rawHeaders[index] as string
      const first = raw.charCodeAt(0) | LOWER
      if (first === X ? (raw.charCodeAt(2) | LOWER) !== R : first !== R && first !== G) continue
      const name = raw.toLowerCase()
      const value = rawHeaders[index + 1] as string
      if (name === PROXY_HEADER) this.queued = Math.max(0, wallClock().getTime() - instantOf(value))
      else if (CALLER_HEADERS.has(name)) this.allowed = Math.min(this.allowed, durationOf(name, value))
    }
  }
}

/**
 * Reads `X-Request-Start` as milliseconds since 1970: `t=` or nothing, then seconds (nginx),
 * milliseconds (Heroku, HAProxy) or microseconds (Apache), distinguished by their magnitude.
 * Infinite, hence ignored, if it is invalid.
 */
function instantOf(text: string): number {
  const value = Number(text.startsWith('t=') ? text.slice(2) : text)
  if (!(value >= 1e9)) return Number.POSITIVE_INFINITY
  if (value < 1e11) return value * 1_000
  return value < 1e14 ? value : value / 1_000
}

/** Infinite if the value is invalid: a malformed header must not end a request. */
function durationOf(name: string, text: string): number {
  if (name === 'grpc-timeout') {
    const unit = GRPC_UNITS[text.at(-1) ?? '']
    return unit !== undefined && /^\d{1,8}.$/.test(text) ? Number(text.slice(0, -1)) * unit : Number.POSITIVE_INFINITY
  }
  return /^\d{1,10}(\.\d{1,3})?$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY
}

/** Ids that are safe in a log and in a header. */
const SAFE_ID = /^[\w.:+/=@-]{1,128}$/
const TRACE_PARENT = /^[\da-f]{2}-([\da-f]{32})-[\da-f]{16}-[\da-f]{2}/
const NO_TRACE = '0'.repeat(32)

/**
 * The id of a request: its `X-Request-Id`, or the trace id of its `traceparent` (W3C Trace
 * Context), if valid; else 128 random bits.
 *
 * @param rawHeaders names and values in turn; Node would build `headers` for every request
 */
export function requestId(rawHeaders: readonly string[]): string {
  let trace: string | undefined
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string
    if (name.length === 12 && name.toLowerCase() === 'x-request-id') {
      const id = rawHeaders[index + 1] as string
      if (SAFE_ID.test(id)) return id
    } else if (name.length === 11 && name.toLowerCase() === 'traceparent') {
      trace = TRACE_PARENT.exec(rawHeaders[index + 1] as string)?.[1]
    }
  }
  return trace !== undefined && trace !== NO_TRACE ? trace : newId()
}

const pool = Buffer.alloc(16 * 64)
let at = pool.length

function newId(): string {
  if (at === pool.length) {
    // Loaded on first use, and without `import`, which would read every export of the module and so
    // load all of Web Crypto.
    process.getBuiltinModule('node:crypto').randomFillSync(pool)
    at = 0
  }
  at += 16
  return pool.toString('hex', at - 16, at)
}
