import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Outcome, request, wordOf } from '../support/client.ts'

/** The result of a load. */
export interface LoadResult {
  /** Number of requests by outcome: `{ '200': 8123 }`. */
  readonly counts: Readonly<Record<string, number>>
  readonly total: number
  /** Requests sent on a reused connection. */
  readonly reused: number
  /** Different bodies in the order of their first occurrence. */
  readonly bodies: readonly string[]
  /** The first outcomes other than 200, for assertion messages. */
  readonly faults: readonly string[]
}

/** Clients that send one request after another until they are stopped, or their scope ends. */
export class Load implements AsyncDisposable {
  readonly #url: string
  readonly #rest: (() => number) | null
  readonly #agents: readonly (http.Agent | false)[]
  readonly #counts: Record<string, number> = {}
  readonly #bodies = new Set<string>()
  readonly #faults: string[] = []
  readonly #running: Promise<unknown>
  #total = 0
  #reused = 0
  #stopping = false

  /**
   * @param keepAlive each client keeps one connection; else each request has one of its own
   * @param rest how many milliseconds a client rests before its next request; default: none
   */
  constructor(url: string, clients: number, keepAlive: boolean, rest: (() => number) | null = null) {
    this.#url = url
    this.#rest = rest
    this.#agents = Array.from(
      { length: clients },
      () => keepAlive && new http.Agent({ keepAlive: true, maxSockets: 1 }),
    )
    this.#running = Promise.all(this.#agents.map((agent) => this.#send(agent)))
  }

  /** So far. */
  get total(): number {
    return this.#total
  }

  sees(body: string): boolean {
    return this.#bodies.has(body)
  }

  async stop(): Promise<LoadResult> {
    this.#stopping = true
    await this.#running
    for (const agent of this.#agents) if (agent !== false) agent.destroy()
    return {
      counts: this.#counts,
      total: this.#total,
      reused: this.#reused,
      bodies: [...this.#bodies],
      faults: this.#faults,
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #send(agent: http.Agent | false): Promise<void> {
    while (!this.#stopping) {
      this.#note(await request(this.#url, { agent }))
      if (this.#rest !== null) await sleep(this.#rest())
    }
  }

  #note(outcome: Outcome): void {
    const word = wordOf(outcome)
    this.#counts[word] = (this.#counts[word] ?? 0) + 1
    this.#total++
    if (outcome.reused) this.#reused++
    if (word === '200') this.#bodies.add(outcome.body)
    else if (this.#faults.length < 5) this.#faults.push(`${word} ${outcome.why} after ${Math.round(outcome.tookMs)} ms`)
  }
}
