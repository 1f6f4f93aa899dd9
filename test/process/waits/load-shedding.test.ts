import assert from 'node:assert/strict'
import http from 'node:http'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Outcome, request, tally } from '../support/client.ts'
import { startServer, type TestServer } from '../support/server.ts'

/** Every request takes ten milliseconds of CPU time. */
const APP = `
  import http from 'node:http'
  http.createServer((request, response) => {
    if (request.url === '/health') return response.end('well')
    const end = performance.now() + 10
    while (performance.now() < end);
    response.end('done')
  }).listen(process.env.PORT, process.env.HOST)
`

/** This many clients, each pausing before its next request, are one second's work of a worker. */
const CLIENTS = 100
const REST = 50
const ROUND = 3_000

const serve = (loadShedding: string): Promise<TestServer> =>
  startServer({
    files: { 'app.js': APP },
    settings: { workers: 1, loadShedding, queueTarget: '60ms', queueInterval: '300ms', accessLog: 'off' },
  })

interface Round {
  readonly answered: readonly Outcome[]
  readonly health: readonly Outcome[]
}

/**
 * Loads the server. The first third, in which overload is detected, does not count. All clients
 * connect beforehand: a busy loop accepts one connection per turn, and the first ones would have
 * the server to themselves.
 */
async function load(server: TestServer): Promise<Round> {
  const agents = Array.from({ length: 1 + CLIENTS }, () => new http.Agent({ keepAlive: true, maxSockets: 1 }))
  await Promise.all(agents.map((agent) => request(`${server.url}/health`, { agent })))
  const startedAt = performance.now()
  const answered: Outcome[] = []
  const health: Outcome[] = []
  const ask = async (agent: http.Agent, path: string, into: Outcome[]): Promise<void> => {
    while (performance.now() - startedAt < ROUND) {
      const counts = performance.now() - startedAt > ROUND / 3
      const outcome = await request(`${server.url}${path}`, { agent })
      if (counts || path === '/health') into.push(outcome)
      await sleep(REST)
    }
  }
  await Promise.all(
    agents.map((agent, number) => (number === 0 ? ask(agent, '/health', health) : ask(agent, '/', answered))),
  )
  for (const agent of agents) agent.destroy()
  return { answered, health }
}

const median = (outcomes: readonly Outcome[]): number => {
  const sorted = outcomes.map(({ tookMs }) => tookMs).sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
const of = (outcomes: readonly Outcome[], status: number): Outcome[] =>
  outcomes.filter((outcome) => outcome.status === status)

test('during overload, responses come in time, the rest is shed quickly, and health checks are always answered', async () => {
  await using off = await serve('off')
  const without = await load(off)
  await off.stop()
  assert.deepEqual(Object.keys(tally(without.answered)), ['200'])

  await using on = await serve('on')
  const shedding = await load(on)
  const counts = tally(shedding.answered)
  assert.deepEqual(Object.keys(counts).sort(), ['200', '503'], JSON.stringify(counts))
  assert.deepEqual(Object.keys(tally(shedding.health)), ['200'])
  const [slow, answered, refused] = [
    median(without.answered),
    median(of(shedding.answered, 200)),
    median(of(shedding.answered, 503)),
  ]
  const figures = `off ${slow} ms; on: ${answered} ms for an answer, ${refused} ms for a 503, ${JSON.stringify(counts)}`
  assert.ok(answered < slow * 0.6, figures)
  assert.ok(refused < slow * 0.6, figures)
  // Connections stay open after a 503.
  assert.ok(of(shedding.answered, 503).every(({ reused }) => reused))
  // Shedding saves time: nearly as many requests are served as without it.
  assert.ok(
    of(shedding.answered, 200).length > without.answered.length * 0.5,
    `${figures}; ${without.answered.length} without`,
  )

  const status = await on.until('the counters to be reported', ({ workers }) => (workers[0]?.outcomes.shed ?? 0) > 0)
  assert.equal(status.workers[0]?.wouldBeShed, 0)
  const metrics = await request(`${on.admin}/metrics`)
  assert.match(metrics.body, /punctual_worker_requests_would_be_shed_total\{worker="1"\} 0/)
  await on.until('overload to be over', ({ workers }) => workers[0]?.overloaded === false)
})

test('with dry-run, overload is counted and nothing is shed', async () => {
  await using server = await serve('dry-run')
  const { answered, health } = await load(server)
  assert.deepEqual(Object.keys(tally([...answered, ...health])), ['200'])
  const { workers } = await server.until('the counter to be reported', (status) => {
    return (status.workers[0]?.wouldBeShed ?? 0) > 0
  })
  assert.equal(workers[0]?.outcomes.shed, 0)
})
