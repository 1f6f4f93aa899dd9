import { isIP } from 'node:net'

/** The head of a request to the admin server. */
export interface AdminRequest {
  readonly method: string
  readonly target: string
  /** Whether the connection may carry another request after this one. */
  readonly keepsAlive: boolean
  /** By name in lower case. */
  readonly headers: ReadonlyMap<string, string>
}

export type HeadFault = 'malformed' | 'too-large' | 'other-version'

/** In bytes, including the empty line at its end. */
const MAX_HEAD = 8 * 1024
const MAX_HEADERS = 100

const END = Buffer.from('\r\n\r\n')
const REQUEST_LINE = /^([A-Z]{1,20}) ([!-~]+) HTTP\/(\d)\.(\d)$/
const HEADER_LINE = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/

/**
 * The length of the head at the start of these bytes; null if more must arrive. What cannot become
 * a request, such as the first bytes of TLS, is a fault at once.
 *
 * @param from where to look on: the end is not before it
 */
export function lengthOfHead(bytes: Buffer, from: number): number | null | HeadFault {
  const first = bytes[0]
  if (first === undefined) return null
  if (first < 0x41 || first > 0x5a) return 'malformed'
  const end = bytes.indexOf(END, Math.max(0, from - END.length + 1))
  if (end !== -1 && end + END.length <= MAX_HEAD) return end + END.length
  return end === -1 && bytes.length < MAX_HEAD ? null : 'too-large'
}

/** Parses a complete head. Strict: the server only has to understand clients of its pages. */
export function parseHead(head: string): AdminRequest | HeadFault {
  const lines = head.slice(0, -END.length).split('\r\n')
  if (lines.length > MAX_HEADERS + 1) return 'too-large'
  const [, method, target, major, minor] = REQUEST_LINE.exec(lines[0] ?? '') ?? []
  if (method === undefined || target === undefined) return 'malformed'
  if (major !== '1') return 'other-version'
  const headers = new Map<string, string>()
  for (let at = 1; at < lines.length; at += 1) {
    const [, name, value] = HEADER_LINE.exec(lines[at] ?? '') ?? []
    if (name === undefined || value === undefined) return 'malformed'
    const key = name.toLowerCase()
    if (key === 'host' && headers.has(key)) return 'malformed'
    headers.set(key, value.trimEnd())
  }
  if (minor !== '0' && !headers.has('host')) return 'malformed'
  return { method, target, headers, keepsAlive: minor !== '0' && !endsConnection(headers) }
}

/**
 * Bodies are not read, so what follows the head of a request that has one cannot be distinguished
 * from the next request.
 */
function endsConnection(headers: ReadonlyMap<string, string>): boolean {
  if (headers.has('content-length') || headers.has('transfer-encoding') || headers.has('upgrade')) return true
  return /\bclose\b/i.test(headers.get('connection') ?? '')
}

/**
 * Whether a request with this `Host` header may be answered. A web page can make a browser send
 * requests to any server under a name of its own (DNS rebinding), but not under an IP address. So
 * addresses (a kubelet's probe, Prometheus), `localhost`, the configured host and the names that
 * the operator lists are allowed, on every address that the server is bound to.
 *
 * @param names `metrics.internal`, or `*.internal` for all names below it
 */
export function isHostAllowed(header: string | undefined, boundHost: string, names: readonly string[] = []): boolean {
  // HTTP/1.0 needs no Host header, and browsers always send one.
  if (header === undefined || header === '') return true
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]/@\s]+?)\.?)(?::\d{1,5})?$/i.exec(header)
  const name = (match?.[1] ?? match?.[2] ?? null)?.toLowerCase() ?? null
  if (name === null) return false
  if (isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost')) return true
  return [boundHost, ...names].some((allowed) => matches(name, allowed.toLowerCase()))
}

function matches(name: string, allowed: string): boolean {
  return allowed.startsWith('*.') ? name.endsWith(allowed.slice(1)) : name === allowed
}

/**
 * Whether a page of another site makes a browser send this request, other than to show it to the
 * user. It could not read the answer, but could measure it or keep the server busy.
 */
export function isCrossSite(headers: ReadonlyMap<string, string>): boolean {
  const site = headers.get('sec-fetch-site')
  const isForeign = site !== undefined && site !== 'same-origin' && site !== 'none'
  if (isForeign && headers.get('sec-fetch-dest') !== 'document') return true
  const origin = headers.get('origin')
  return origin !== undefined && origin.replace(/^https?:\/\//i, '') !== headers.get('host')
}
