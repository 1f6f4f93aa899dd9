import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** Milliseconds; longer than any request takes, so that slow responses are still measured. */
const CLIENT_TIMEOUT = 120_000

/** Result of one request. */
export interface Outcome {
  /** 0 if there was no complete response. */
  readonly status: number
  readonly milliseconds: number
}

export interface Post {
  readonly url: string
  readonly body: object
}

/** Concurrent clients, each with its own keep-alive connection. */
export class Clients {
  readonly #agent: http.Agent
  readonly #concurrency: number

  constructor(concurrency: number) {
    this.#concurrency = concurrency
    this.#agent = new http.Agent({ keepAlive: true, maxSockets: concurrency })
  }

  /**
   * Sends `count` requests. Each client sends its next request as soon as it has a response.
   *
   * @param interval minimum time between the starts of two requests of a client, in milliseconds
   */
  async post(count: number, post: (index: number) => Post, interval = 0): Promise<readonly Outcome[]> {
    const outcomes: Outcome[] = []
    const clients = Math.min(this.#concurrency, count)
    let next = 0
    const client = async (number: number): Promise<void> => {
      // Spreads the first requests over the interval.
      if (interval > 0) await sleep((number / clients) * interval)
      while (next < count) {
        const from = performance.now()
        outcomes.push(await postOne(this.#agent, post(next++)))
        const rest = from + interval - performance.now()
        if (rest > 0) await sleep(rest)
      }
    }
    await Promise.all(Array.from({ length: clients }, (_, number) => client(number)))
    return outcomes
  }

  /** Closes the connections. */
  end(): void {
    this.#agent.destroy()
  }
}

function postOne(agent: http.Agent, { url, body }: Post): Promise<Outcome> {
  const start = performance.now()
  return new Promise((resolve) => {
    const end = (status: number): void => resolve({ status, milliseconds: performance.now() - start })
    const request = http.request(
      url,
      { agent, method: 'POST', headers: { 'content-type': 'application/json' }, timeout: CLIENT_TIMEOUT },
      (response) => {
        response.resume()
        response.on('end', () => end(response.complete ? (response.statusCode ?? 0) : 0))
        response.on('error', () => end(0))
      },
    )
    request.on('timeout', () => request.destroy(new Error('no response')))
    request.on('error', () => end(0))
    request.end(JSON.stringify(body))
  })
}

/** Returns the percentile by nearest rank. */
export function percentile(outcomes: readonly Outcome[], share: number): number {
  const sorted = outcomes.map(({ milliseconds }) => milliseconds).sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}
