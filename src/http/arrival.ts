import { wallClock } from '../resilience/clock.ts'

const PROXY = 'x-request-start'
const CALLER = new Set(['request-timeout', 'x-request-deadline', 'grpc-timeout'])
const [X, R, G] = [120, 114, 103] as const
/** The bit by which the small letters of ASCII differ from the great ones. */
const LOWER = 32
/** Their lengths, because most headers are told apart by that alone. */
const LENGTHS = (1 << 12) | (1 << 15) | (1 << 18)

/** Milliseconds of each unit of `grpc-timeout` (gRPC over HTTP/2, "Timeout"). */
const GRPC_UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 }

/** What a request says of its own time. One object is used for all, so that reading allocates nothing. */
export class TimingHeaders {
  /** Milliseconds it has waited in front of us already, by the clock of its proxy; 0 when none has said so. */
  queued = 0
  /** Milliseconds its caller gives it from now on; infinite when he has not said so. */
  allowed: number = Number.POSITIVE_INFINITY

  /** @param rawHeaders names and values in turn, as Node keeps them */
  read(rawHeaders: readonly string[]): void {
    this.queued = 0
    this.allowed = Number.POSITIVE_INFINITY
    for (let index = 0; index < rawHeaders.length; index += 2) {
      const { length } = rawHeaders[index] as string
      if (length > 18 || ((LENGTHS >> length) & 1) === 0) continue
      // `x-r…`, `r…` and `g…`; of those as long, browsers and proxies send `accept-…`, `content-…`, `sec-…` and `x-f…` with every request.
      const raw = rawHeaders[index] as string
      const first = raw.charCodeAt(0) | LOWER
      if (first === X ? (raw.charCodeAt(2) | LOWER) !== R : first !== R && first !== G) continue
      const name = raw.toLowerCase()
      const value = rawHeaders[index + 1] as string
      if (name === PROXY) this.queued = Math.max(0, wallClock().getTime() - instantOf(value))
      else if (CALLER.has(name)) this.allowed = Math.min(this.allowed, durationOf(name, value))
    }
  }
}

/**
 * Milliseconds since 1970 of an `X-Request-Start`: `t=` or nothing, then seconds (nginx), milliseconds (Heroku, HAProxy) or microseconds
 * (Apache), which are told apart by their size. Infinite, hence not counted, for what is none of these.
 */
function instantOf(text: string): number {
  const value = Number(text.startsWith('t=') ? text.slice(2) : text)
  if (!(value >= 1e9)) return Number.POSITIVE_INFINITY
  if (value < 1e11) return value * 1_000
  return value < 1e14 ? value : value / 1_000
}

/** Infinite for what is no length of time: a header nobody can read must not end a request. */
function durationOf(name: string, text: string): number {
  if (name === 'grpc-timeout') {
    const unit = GRPC_UNITS[text.at(-1) ?? '']
    return unit !== undefined && /^\d{1,8}.$/.test(text) ? Number(text.slice(0, -1)) * unit : Number.POSITIVE_INFINITY
  }
  return /^\d{1,10}(\.\d{1,3})?$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY
}
