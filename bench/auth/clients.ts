import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** Above everything a request may take here, so that what hangs longer is still told. */
const CLIENT_LIMIT = 120_000

/** How one request ended. */
export interface Outcome {
  /** 0: no answer, or a broken one. */
  readonly status: number
  readonly milliseconds: number
}

export interface Post {
  readonly url: string
  readonly body: object
}

/** Clients that ask all at once, each on a connection of its own, which it keeps. */
export class Clients {
  readonly #agent: http.Agent
  readonly #atOnce: number

  constructor(atOnce: number) {
    this.#atOnce = atOnce
    this.#agent = new http.Agent({ keepAlive: true, maxSockets: atOnce })
  }

  /**
   * Sends `count` requests in all.
   *
   * @param every each client sends its next one as soon as it has its answer, but not before so many milliseconds after its last
   */
  async post(count: number, post: (index: number) => Post, every = 0): Promise<readonly Outcome[]> {
    const outcomes: Outcome[] = []
    const clients = Math.min(this.#atOnce, count)
    let next = 0
    const client = async (number: number): Promise<void> => {
      // Not all in the same moment.
      if (every > 0) await sleep((number / clients) * every)
      while (next < count) {
        const from = performance.now()
        outcomes.push(await postOne(this.#agent, post(next++)))
        const rest = from + every - performance.now()
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
      { agent, method: 'POST', headers: { 'content-type': 'application/json' }, timeout: CLIENT_LIMIT },
      (response) => {
        response.resume()
        response.on('end', () => end(response.complete ? (response.statusCode ?? 0) : 0))
        response.on('error', () => end(0))
      },
    )
    request.on('timeout', () => request.destroy(new Error('no answer')))
    request.on('error', () => end(0))
    request.end(JSON.stringify(body))
  })
}

/** The nearest rank: the least of the values that `share` of all do not exceed. */
export function percentile(outcomes: readonly Outcome[], share: number): number {
  const sorted = outcomes.map(({ milliseconds }) => milliseconds).sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}
