import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Outcome, request, wordOf } from '../../process/support/client.ts'
import { freePort } from '../../process/support/free-port.ts'
import { startServer, type TestServer } from '../../process/support/server.ts'
import { until } from '../../process/support/until.ts'

const APP = {
  'app.mjs': `
import http from 'node:http'
http.createServer((request, response) => {
  let length = 0
  request.on('data', (chunk) => { length += chunk.length })
  request.on('end', () => setTimeout(() => response.end(String(length)), 20))
}).listen(process.env.PORT)
`,
}
const MACHINES = 3
const CLIENTS = 20
/** How often each machine is restarted. */
const RESTARTS = Number(process.env.RESTARTS ?? 1)

/**
 * A proxy as nginx is by default: a connection for each request, the next machine in turn, and
 * another one only if it cannot connect, since it does not send a POST twice.
 */
class NginxLikeProxy {
  readonly #ports: readonly number[]
  readonly outcomes: Record<string, number> = {}
  readonly faults: string[] = []
  total = 0
  #next = 0
  #stopping = false
  readonly #running: Promise<unknown>

  constructor(ports: readonly number[]) {
    this.#ports = ports
    this.#running = Promise.all(Array.from({ length: CLIENTS }, () => this.#client()))
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#running
  }

  async #client(): Promise<void> {
    while (!this.#stopping) {
      const outcome = await this.#send()
      const word = wordOf(outcome)
      this.total++
      this.outcomes[word] = (this.outcomes[word] ?? 0) + 1
      if (word !== '200') this.faults.push(`${word} ${outcome.why} after ${Math.round(outcome.tookMs)} ms`)
      await sleep(Math.random() * 20)
    }
  }

  async #send(): Promise<Outcome> {
    const first = this.#next++
    let outcome: Outcome | undefined
    for (let attempt = 0; attempt < this.#ports.length; attempt++) {
      const port = this.#ports[(first + attempt) % this.#ports.length]
      outcome = await request(`http://127.0.0.1:${port}`, { method: 'POST', body: 'four' })
      if (outcome.kind !== 'refused') break
    }
    return outcome as Outcome
  }
}

test('three machines behind a proxy are restarted one after the other without failed requests', async (context) => {
  const ports = await Promise.all(Array.from({ length: MACHINES }, freePort))
  const start = (port: number): Promise<TestServer> => startServer({ files: APP, settings: { port, workers: 1 } })
  const machines = await Promise.all(ports.map(start))
  const proxy = new NginxLikeProxy(ports)
  try {
    for (let round = 0; round < RESTARTS; round++) {
      for (const [at, port] of ports.entries()) {
        const { total } = proxy
        await until('some requests', () => proxy.total > total + 100)
        assert.deepEqual(await (machines[at] as TestServer).stop(), { code: 0, signal: null })
        machines[at] = await start(port)
      }
    }
  } finally {
    await proxy.stop()
    await Promise.all(machines.map((machine) => machine[Symbol.asyncDispose]()))
  }
  context.diagnostic(`${proxy.total} requests: ${JSON.stringify(proxy.outcomes)}`)
  const { 200: answered = 0, reset = 0, ...others } = proxy.outcomes
  assert.deepEqual(others, {}, proxy.faults.slice(0, 5).join('; '))
  // The kernel resets what arrives between the last look at the socket and its close: microseconds,
  // unless the process is suspended just then. With `server.close` of Node there are dozens.
  assert.ok(reset <= RESTARTS, proxy.faults.slice(0, 5).join('; '))
  assert.ok(answered > 300 * RESTARTS, `${answered} answered`)
})
