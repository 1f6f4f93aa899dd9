import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { type RequestOptions, request, wordOf } from '../support/client.ts'
import { SessionPool } from '../support/http2-client.ts'

/** What a WebSocket of a worker that drains is closed with (Service Restart). */
const SERVICE_RESTART = 1012
const MESSAGE_TIMEOUT = 30_000
/** Between two requests of a client, in milliseconds: new workers need the CPU, too. */
const REST = 3

/** Clients of several kinds that send one request after another until they are stopped. */
export class MixedTraffic implements AsyncDisposable {
  /** Number of answered requests by kind of client. */
  readonly answered: Record<string, number> = {}
  /** Number of failed requests by kind and outcome. */
  readonly failed: Record<string, number> = {}
  readonly #clients: Promise<void>[] = []
  readonly #ends: (() => void)[] = []
  #stopping = false

  get total(): number {
    return Object.values(this.answered).reduce((sum, count) => sum + count, 0)
  }

  /** Each client keeps its connection, or has a new one for each request. */
  http(
    kind: string,
    clients: number,
    url: string,
    expected: string,
    options: RequestOptions & { keepAlive: boolean },
  ): void {
    for (let index = 0; index < clients; index++) {
      const agent = options.keepAlive && new http.Agent({ keepAlive: true, maxSockets: 1 })
      if (agent !== false) this.#ends.push(() => agent.destroy())
      this.#add(kind, async () => {
        const outcome = await request(url, { ...options, agent })
        const word = wordOf(outcome)
        if (word !== '200') return `${word} ${outcome.why}`
        return outcome.body === expected ? null : `another body: ${outcome.body.slice(0, 40)}`
      })
    }
  }

  /** Sessions with so many clients each, which open another when the server closes theirs. */
  http2(kind: string, sessions: number, clients: number, origin: string, path: string, expected: string): void {
    for (let index = 0; index < sessions; index++) {
      const pool = new SessionPool(origin)
      this.#ends.push(() => pool.close())
      for (let client = 0; client < clients; client++) {
        this.#add(kind, async () => {
          const body = await pool.get(path)
          return body === expected ? null : body.slice(0, 60)
        })
      }
    }
  }

  /** Each client sends messages that are echoed, and connects again when it is closed with 1012. */
  webSockets(kind: string, clients: number, url: string): void {
    for (let index = 0; index < clients; index++) {
      let socket: WebSocket | null = null
      this.#ends.push(() => socket?.terminate())
      this.#add(kind, async () => {
        for (;;) {
          if (socket === null || socket.readyState >= WebSocket.CLOSING) {
            // An error between two messages is followed by a close, which the next one sees.
            socket = new WebSocket(url).on('error', () => {})
          }
          const fault = await echo(socket)
          if (fault !== SERVICE_RESTART) return fault
        }
      })
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#clients)
    for (const end of this.#ends.splice(0)) end()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #add(kind: string, one: () => Promise<string | null>): void {
    const run = async (): Promise<void> => {
      while (!this.#stopping) {
        const fault = await one()
        if (fault === null) this.answered[kind] = (this.answered[kind] ?? 0) + 1
        else this.failed[`${kind}: ${fault}`] = (this.failed[`${kind}: ${fault}`] ?? 0) + 1
        await sleep(REST)
      }
    }
    this.#clients.push(run())
  }
}

/** Null when the message came back, otherwise the fault; 1012 if the server closed the socket. */
function echo(socket: WebSocket): Promise<string | null | typeof SERVICE_RESTART> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => end('no echo'), MESSAGE_TIMEOUT)
    const end = (result: string | null | typeof SERVICE_RESTART): void => {
      clearTimeout(timer)
      socket.off('message', onMessage).off('close', onClose).off('error', onError)
      resolve(result)
    }
    const onMessage = (text: Buffer): void => end(String(text) === 'message' ? null : String(text))
    const onClose = (code: number): void => end(code === SERVICE_RESTART ? code : `closed with ${code}`)
    const onError = (error: Error): void => end(error.message)
    socket.on('message', onMessage).on('close', onClose).on('error', onError)
    if (socket.readyState === WebSocket.OPEN) socket.send('message')
    else socket.once('open', () => socket.send('message'))
  })
}
