import http from 'node:http'
import https from 'node:https'

/** Default timeout of a client in milliseconds. */
const CLIENT_LIMIT = 30_000

/** The outcome of a request: a complete response, or how it failed. */
export interface Outcome {
  /**
   * - `answer`: a complete response with any status.
   * - `reset`: the connection was reset (ECONNRESET, EPIPE) before the response was complete.
   * - `closed`: the server closed the connection before it sent any part of the response.
   * - `cut-short`: the connection ended in the middle of the response.
   * - `refused`: the connection was refused.
   * - `timeout`: none of these before the timeout.
   * - `error`: anything else; see `why`.
   */
  readonly kind: 'answer' | 'reset' | 'closed' | 'cut-short' | 'refused' | 'timeout' | 'error'
  /** 0 if no response began. */
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
  readonly why: string
  /** Whether it was sent on a reused connection. */
  readonly reused: boolean
  readonly tookMs: number
}

export interface RequestOptions {
  readonly method?: string
  readonly headers?: http.OutgoingHttpHeaders
  readonly body?: string | Buffer
  /** Without an agent, or with `false`, the request gets a new connection. */
  readonly agent?: http.Agent | https.Agent | false
  /** Milliseconds until it counts as `timeout`. */
  readonly limit?: number
  /** Called when the complete request has been passed to the kernel. */
  readonly onSent?: () => void
}

/** Sends one request. Never rejects, and ends at its timeout. */
export function request(url: string, options: RequestOptions = {}): Promise<Outcome> {
  const startedAt = performance.now()
  const { method = 'GET', headers = {}, body, agent = false, limit = CLIENT_LIMIT } = options
  return new Promise((resolve) => {
    let status = 0
    let received: http.IncomingHttpHeaders = {}
    let text = ''
    const end = (kind: Outcome['kind'], why: string): void => {
      clearTimeout(timer)
      const tookMs = performance.now() - startedAt
      resolve({ kind, status, headers: received, body: text, why, reused: outgoing.reusedSocket, tookMs })
    }
    const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }
    const secure = url.startsWith('https:')
    const outgoing = (secure ? https : http).request(url, {
      method,
      headers: { ...length, ...headers },
      agent,
      ...(secure ? { rejectUnauthorized: false } : {}),
    })
    const timer = setTimeout(() => {
      end('timeout', `nothing after ${limit} ms`)
      outgoing.destroy()
    }, limit)
    outgoing.on('response', (response) => {
      status = response.statusCode ?? 0
      received = response.headers
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
      })
      response.on('end', () => end('answer', ''))
      response.on('error', (error: NodeJS.ErrnoException) => end(...fault(error, true)))
    })
    outgoing.on('error', (error: NodeJS.ErrnoException) => end(...fault(error, status !== 0)))
    if (options.onSent !== undefined) outgoing.on('finish', options.onSent)
    outgoing.end(body)
  })
}

function fault(error: NodeJS.ErrnoException, begun: boolean): [Outcome['kind'], string] {
  const why = `${error.code ?? 'no code'}: ${error.message}`
  // Node uses the code of a reset for an orderly close; the message differs.
  if (error.message === 'socket hang up') return ['closed', why]
  if (error.message === 'aborted') return ['cut-short', why]
  if (error.code === 'ECONNRESET' || error.code === 'EPIPE') return ['reset', why]
  if (error.code === 'ECONNREFUSED') return ['refused', why]
  return [begun ? 'cut-short' : 'error', why]
}

/** An outcome as one word: `200`, `503`, `reset`. */
export function wordOf({ kind, status }: Outcome): string {
  return kind === 'answer' ? String(status) : kind
}

/** Counts outcomes: `{ '200': 19, reset: 1 }`. */
export function tally(outcomes: readonly Outcome[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const outcome of outcomes) counts[wordOf(outcome)] = (counts[wordOf(outcome)] ?? 0) + 1
  return counts
}

/** Sends so many requests at once, each on a new connection. */
export function requests(count: number, url: string, options: RequestOptions = {}): Promise<Outcome>[] {
  return Array.from({ length: count }, () => request(url, options))
}

/** Clients with one keep-alive connection each, which has served one request. */
export interface KeepAliveClients extends Disposable {
  /** Sends one request over each connection. */
  all(url: string, options?: RequestOptions): Promise<Outcome>[]
  /** Closes the connections. */
  close(): void
}

/**
 * Opens `count` keep-alive connections, each by a first request.
 *
 * @param url of the first request, which must be answered with 200
 */
export async function keepAliveClients(count: number, url: string): Promise<KeepAliveClients> {
  const agents = Array.from({ length: count }, () => new http.Agent({ keepAlive: true, maxSockets: 1 }))
  const all = (to: string, options: RequestOptions = {}): Promise<Outcome>[] =>
    agents.map((agent) => request(to, { ...options, agent }))
  const close = (): void => {
    for (const agent of agents) agent.destroy()
  }
  const first = await Promise.all(all(url))
  const bad = first.find((outcome) => wordOf(outcome) !== '200')
  if (bad !== undefined) {
    close()
    throw new Error(`the first request of a keep-alive client ended as ${wordOf(bad)} ${bad.why}`)
  }
  return { all, close, [Symbol.dispose]: close }
}
