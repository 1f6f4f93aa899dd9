import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import { type AddressInfo, isIP } from 'node:net'
import type { Log } from '../diagnostics/log.ts'
import { METRICS_CONTENT_TYPE, renderMetrics } from '../diagnostics/metrics.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import { promiseAtMost } from '../resilience/wait-at-most.ts'
import { adminPage, PAGE_POLICY } from './admin-page.ts'
import type { ArbiterControl } from './arbiter-control.ts'

export interface AdminServerOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** Whether to take a free port instead of one that is in use. Default: false. */
  readonly orFree?: boolean
  readonly log?: Pick<Log, 'warn'>
  /** How long a client may take to send a request, to read the response, or idle. Default: 5 s. */
  readonly clientTimeout?: Milliseconds
  /** Maximum number of connections at a time; more are closed. Default: 128. */
  readonly connections?: number
}

export interface AdminServer {
  /** `http://127.0.0.1:19464`, with the port that was taken. */
  readonly url: string
  readonly port: number
  /** Stops listening. Responses in progress get `timeout` to complete. Never rejects. */
  close(timeout: Milliseconds): Promise<void>
}

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Incidents shown on the page. */
const MAX_INCIDENTS = 10

/**
 * Starts the admin server: probes, status, metrics and incidents over HTTP. It answers from the
 * arbiter's own data, so that a stalled worker cannot fail a probe, and only to GET and HEAD.
 * Throws `PUNCTUAL_ADMIN_PORT_TAKEN` if it cannot listen, unless the port is taken and `orFree`.
 */
export async function startAdminServer(control: ArbiterControl, options: AdminServerOptions): Promise<AdminServer> {
  const { host, port, log, clientTimeout = ms(5_000), connections = 128 } = options
  const context: Context = { control, host, log }
  const create = (): Server => {
    const server = createServer(
      {
        headersTimeout: clientTimeout,
        requestTimeout: clientTimeout,
        keepAliveTimeout: clientTimeout,
        connectionsCheckingInterval: 1_000,
        maxHeaderSize: 8 * 1024,
      },
      (request, response) => void serve(request, response, context),
    )
    server.timeout = clientTimeout
    server.maxConnections = connections
    return server
  }
  const servers = await listenOrFallBack(create, options)
  for (const server of servers) {
    server.on('error', (error) => log?.warn({ event: 'admin-server-failed', error }, 'the admin server failed'))
  }
  const bound = servers[0].address() as AddressInfo
  if (port !== 0 && bound.port !== port) {
    log?.warn(
      { event: 'admin-port-taken', host, port, taken: bound.port },
      `another process listens on the default admin port ${port}; using ${bound.port} instead (set --admin-port to choose)`,
    )
  }
  return {
    port: bound.port,
    url: `http://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`,
    close: async (timeout) => {
      await Promise.all(servers.map((server) => close(server, timeout)))
    },
  }
}

async function close(server: Server, timeout: Milliseconds): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  await promiseAtMost(
    timeout,
    (resolve) => void closed.then(resolve),
    () => server.closeAllConnections(),
  )
  await closed
}

type Servers = readonly [Server, ...Server[]]

async function listenOrFallBack(create: () => Server, { host, port, orFree }: AdminServerOptions): Promise<Servers> {
  try {
    return await listenOn(create, host, port)
  } catch (error) {
    const isTaken = error instanceof PunctualError && error.details?.reason === 'EADDRINUSE'
    if (orFree !== true || !isTaken) throw error
    return await listenOn(create, host, 0)
  }
}

/**
 * The IPv4 loopback address is served together with that of IPv6: `localhost` may be either, and
 * must not lead to the page of another process.
 */
async function listenOn(create: () => Server, host: string, port: number): Promise<Servers> {
  const server = create()
  await listen(server, host, port)
  if (host !== '127.0.0.1' && host !== 'localhost') return [server]
  const { address, port: bound } = server.address() as AddressInfo
  const other = create()
  try {
    await listen(other, address === '::1' ? '127.0.0.1' : '::1', bound)
    return [server, other]
  } catch (error) {
    // The machine may have no IPv6. A free port is only known to this server.
    const isTaken = error instanceof PunctualError && error.details?.reason === 'EADDRINUSE'
    if (port === 0 || !isTaken) return [server]
    await new Promise((resolve) => server.close(resolve))
    throw error
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(cannotListen(error, host, port)))
    server.listen({ host, port, exclusive: true }, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
}

/** What answers to requests are made from. */
interface Context {
  readonly control: ArbiterControl
  /** The host that the server is bound to. */
  readonly host: string
  readonly log: Pick<Log, 'warn'> | undefined
}

async function serve(request: IncomingMessage, response: ServerResponse, context: Context): Promise<void> {
  const { method, url: target } = request
  let answer: Answer
  try {
    answer = isHostAllowed(request.headers.host, context.host)
      ? await route(request, context)
      : problem(421, 'The admin server does not serve this host name. Use an IP address or localhost.')
  } catch (error) {
    const message = `the admin server could not answer ${method} ${target}`
    context.log?.warn({ event: 'admin-request-failed', method, target, error }, message)
    answer = problem(500, 'The admin server could not answer; see the log.')
  }
  // No route needs a request body, and reading it would only keep the connection busy.
  if (request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined) {
    response.setHeader('connection', 'close')
  }
  response.writeHead(answer.status, {
    'content-type': answer.type,
    'content-length': Buffer.byteLength(answer.body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'cross-origin-resource-policy': 'same-origin',
    ...answer.headers,
  })
  response.end(method === 'HEAD' ? undefined : answer.body)
}

async function route({ method, url = '/' }: IncomingMessage, { control }: Context): Promise<Answer> {
  if (method !== 'GET' && method !== 'HEAD') {
    return {
      ...problem(405, 'The admin server is read-only. Use the punctual command to make changes.'),
      headers: { allow: 'GET, HEAD' },
    }
  }
  const [path = '/'] = url.split('?')
  switch (path) {
    case '/livez':
      return text(200, 'alive\n')
    case '/readyz':
      return control.status().ready ? text(200, 'ready\n') : text(503, 'not ready\n')
    case '/status':
      return json(control.status())
    case '/metrics':
      return { status: 200, type: METRICS_CONTENT_TYPE, body: await renderMetrics(control.status(), control.metrics()) }
    case '/incidents':
      return json(await control.incidents())
    case '/': {
      const body = adminPage(control.status(), (await control.incidents()).slice(0, MAX_INCIDENTS))
      return {
        status: 200,
        type: 'text/html; charset=utf-8',
        body,
        headers: { 'content-security-policy': PAGE_POLICY },
      }
    }
    default:
      return await incident(path, control)
  }
}

async function incident(path: string, control: ArbiterControl): Promise<Answer> {
  const id = /^\/incidents\/([\w-]{1,100})$/.exec(path)?.[1]
  const found = id === undefined ? undefined : await control.incident(id)
  if (found !== undefined) return json(found)
  return problem(404, id === undefined ? 'Page not found.' : 'Incident not found; it may have been removed.')
}

function json(value: unknown): Answer {
  return { status: 200, type: 'application/json', body: `${JSON.stringify(value, null, 2)}\n` }
}

function text(status: number, body: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body }
}

/** RFC 9457; `about:blank` means that the status says all about the type. */
function problem(status: number, detail: string): Answer {
  const body = JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status], status, detail })
  return { status, type: 'application/problem+json', body }
}

/**
 * Whether a request with this `Host` header may be answered. A web page can make a browser send
 * requests to any server under a name of its own (DNS rebinding), but not under an IP address. So
 * addresses (a kubelet's probe, Prometheus), `localhost` and the configured host are allowed. Other
 * names are allowed only if the server is bound to every address, since it is meant to be public.
 */
export function isHostAllowed(header: string | undefined, boundHost: string): boolean {
  // HTTP/1.0 needs no Host header, and browsers always send one.
  if (header === undefined || header === '') return true
  if (boundHost === '0.0.0.0' || boundHost === '::' || boundHost === '') return true
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]/@\s]+?)\.?)(?::\d{1,5})?$/i.exec(header)
  const name = (match?.[1] ?? match?.[2] ?? null)?.toLowerCase() ?? null
  if (name === null) return false
  return isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost') || name === boundHost.toLowerCase()
}

function cannotListen(error: NodeJS.ErrnoException, host: string, port: number): PunctualError {
  const known: Readonly<Record<string, readonly [why: string, setting: 'adminPort' | 'adminHost']>> = {
    EADDRINUSE: ['another process listens on it; choose another --admin-port (0 takes a free one)', 'adminPort'],
    EADDRNOTAVAIL: [`${host} is not an address of this machine; choose another --admin-host`, 'adminHost'],
    ENOTFOUND: [`${host} cannot be resolved; choose another --admin-host`, 'adminHost'],
    EACCES: [`this user may not listen on port ${port}; choose an --admin-port above 1023`, 'adminPort'],
  }
  const reason = error.code ?? null
  const [why, setting] = known[reason ?? ''] ?? [`${error.message}; choose another --admin-port or --admin-host`, null]
  return new PunctualError(
    'PUNCTUAL_ADMIN_PORT_TAKEN',
    `the admin server cannot listen on ${isIP(host) === 6 ? `[${host}]` : host}:${port}: ${why}`,
    {
      cause: error,
      details: { host, port, reason, setting },
    },
  )
}
