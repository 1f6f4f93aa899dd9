import type { Log } from '../diagnostics/log.ts'
import { LogThrottle } from '../diagnostics/log-throttle.ts'
import { METRICS_CONTENT_TYPE, renderMetrics } from '../diagnostics/metrics.ts'
import { afterIo } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { SerialQueue } from '../resilience/serial-queue.ts'
import { type AdminAnswer, answer, json, problem, text } from './admin-answer.ts'
import { adminPage, PAGE_POLICY } from './admin-page.ts'
import { type AdminRequest, isCrossSite, isHostAllowed } from './admin-request.ts'
import type { ArbiterControl } from './arbiter-control.ts'

/** Which pages a server has. */
export type AdminPages = 'all' | 'probes' | 'probes-and-metrics'

export interface AdminRoutesOptions {
  readonly pages: AdminPages
  /** The host that the server is bound to. */
  readonly host: string
  /** Other names in the `Host` header that are allowed. */
  readonly hosts: readonly string[]
  readonly log: Pick<Log, 'warn'> | undefined
}

/** Incidents shown on the page. */
const MAX_INCIDENTS = 10
/** Answers that are due at a time; those of clients that have left count too. */
const MAX_DUE = 64
const LOG_INTERVAL = ms(10_000)
const ALIVE = text(200, 'alive\n')
const READY = text(200, 'ready\n')
const NOT_READY = text(503, 'not ready\n')
const BUSY = problem(503, 'The admin server is busy.', { 'retry-after': '1' })

/** What the admin server answers, from the arbiter's own data. */
export class AdminRoutes {
  readonly #control: ArbiterControl
  readonly #options: AdminRoutesOptions
  readonly #throttle = new LogThrottle(LOG_INTERVAL)
  /** Answers by path that are due, and not being made yet: later requests share them. */
  readonly #due = new Map<string, Promise<AdminAnswer>>()
  readonly #fromMemory = new SerialQueue()
  readonly #fromFiles = new SerialQueue()

  constructor(control: ArbiterControl, options: AdminRoutesOptions) {
    this.#control = control
    this.#options = options
  }

  /** Never rejects. Probes are answered at once. */
  answer(request: AdminRequest): AdminAnswer | Promise<AdminAnswer> {
    const { method, target, headers } = request
    if (method !== 'GET' && method !== 'HEAD') {
      return problem(405, 'The admin server is read-only. Use the punctual command to make changes.', {
        allow: 'GET, HEAD',
      })
    }
    const { pages, host, hosts } = this.#options
    const [path = '/'] = target.split('?')
    // A network of load balancers asks for probes by any name, and they tell nothing.
    const isProbe = path === '/livez' || path === '/readyz'
    if (!(isProbe && pages !== 'all') && !isHostAllowed(headers.get('host'), host, hosts)) {
      return problem(421, 'This host name is not served. Use an IP address or localhost, or list it in --admin-hosts.')
    }
    if (isCrossSite(headers)) return problem(403, 'Pages of other sites may not read this server.')
    if (path === '/livez') return ALIVE
    if (path === '/readyz') return this.#readiness(request)
    if (pages === 'probes' || (pages === 'probes-and-metrics' && path !== '/metrics')) return notFound()
    return this.#page(path, request)
  }

  #readiness(request: AdminRequest): AdminAnswer {
    try {
      return this.#control.status().ready ? READY : NOT_READY
    } catch (error) {
      return this.#failed(request, error)
    }
  }

  #page(path: string, request: AdminRequest): AdminAnswer | Promise<AdminAnswer> {
    const control = this.#control
    switch (path) {
      case '/status':
        return this.#share(path, request, this.#fromMemory, () => json(control.status()))
      case '/metrics':
        return this.#share(path, request, this.#fromMemory, async () =>
          answer(200, METRICS_CONTENT_TYPE, await renderMetrics(control.status(), control.metrics())),
        )
      case '/incidents':
        return this.#share(path, request, this.#fromFiles, async () => json(await control.incidents()))
      case '/':
        return this.#share(path, request, this.#fromFiles, async () => {
          const incidents = (await control.incidents()).slice(0, MAX_INCIDENTS)
          const page = adminPage(control.status(), incidents)
          return answer(200, 'text/html; charset=utf-8', page, { 'content-security-policy': PAGE_POLICY })
        })
      default: {
        const id = /^\/incidents\/([\w-]{1,100})$/.exec(path)?.[1]
        if (id === undefined) return notFound()
        return this.#share(path, request, this.#fromFiles, async () => {
          const found = await control.incident(id)
          return found === undefined ? problem(404, 'Incident not found; it may have been removed.') : json(found)
        })
      }
    }
  }

  /**
   * Makes an answer for all requests of a path that wait for it. It is made after the request came
   * in, so it is never out of date, and one at a time, so that requests cannot multiply the work.
   */
  #share(
    path: string,
    request: AdminRequest,
    queue: SerialQueue,
    make: () => AdminAnswer | Promise<AdminAnswer>,
  ): AdminAnswer | Promise<AdminAnswer> {
    const due = this.#due.get(path)
    if (due !== undefined) return due
    if (this.#due.size >= MAX_DUE) return BUSY
    const made = queue.run(async () => {
      // Probes come first.
      await new Promise<void>((resolve) => afterIo(resolve))
      this.#due.delete(path)
      return make()
    })
    const answered = made.catch((error: unknown) => this.#failed(request, error))
    this.#due.set(path, answered)
    return answered
  }

  #failed({ method, target }: AdminRequest, error: unknown): AdminAnswer {
    if (this.#throttle.shouldLog()) {
      const message = `the admin server could not answer ${method} ${target.slice(0, 100)}`
      this.#options.log?.warn({ event: 'admin-request-failed', method, target: target.slice(0, 100), error }, message)
    }
    return problem(500, 'The admin server could not answer; see the log.')
  }
}

function notFound(): AdminAnswer {
  return problem(404, 'Page not found.')
}
