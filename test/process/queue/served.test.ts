import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Status, WorkerStatus } from '../../../src/diagnostics/status.ts'
import type { QueuesReport } from '../../../src/queue/queue-report.ts'
import { request } from '../support/client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const INDEX = join(import.meta.dirname, '../../../src/index.ts')

const files = {
  'app.mjs': `
import { appendFileSync, existsSync } from 'node:fs'
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { durableQueue } from '${INDEX.replace('index.ts', 'queue/index.ts')}'

const log = durableQueue('events', async (items, { ids, signal }) => {
  // Nothing is handled before the test creates the file.
  while (!existsSync('go')) await sleep(10, undefined, { signal })
  appendFileSync('handled', items.map((item, index) => ids[index] + ' ' + item.n + ' ' + process.pid + '\\n').join(''))
}, { timeout: '20s', linger: '1ms' })

http.createServer((request, response) => {
  const pushed = log.push({ n: Number(request.url.slice(1)) })
  response.end(JSON.stringify({ pid: process.pid, pushed }))
}).listen(process.env.PORT, process.env.HOST)
`,
}

/** Drains within a second; the other timeouts must be shorter. */
const HASTY = {
  drainTimeout: '1s',
  requestTimeout: '1s',
  stallAction: 'report',
  stallReportAfter: '500ms',
  upgradeGrace: '1s',
} as const

function handled(server: TestServer): readonly { readonly n: number; readonly pid: number }[] {
  const path = join(server.directory.path, 'handled')
  if (!existsSync(path)) return []
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
  return lines.map((line) => ({ n: Number(line.split(' ')[1]), pid: Number(line.split(' ')[2]) }))
}

function reportOf(worker: WorkerStatus): QueuesReport['queues'][string] | undefined {
  return (worker.modules.queue as QueuesReport | undefined)?.queues.events
}

async function push(server: TestServer, n: number): Promise<number> {
  const answer = await request(`${server.url}/${n}`)
  assert.equal(answer.status, 200, answer.why)
  const { pid, pushed } = JSON.parse(answer.body) as { pid: number; pushed: string }
  assert.equal(pushed, 'persisted')
  return pid
}

const depths = ({ workers }: Status): number =>
  workers.reduce((sum, worker) => sum + (worker.state === 'exited' ? 0 : (reportOf(worker)?.depth ?? 0)), 0)

test('when a worker is killed, another takes over its items, and status and metrics show it', async () => {
  await using server = await startServer({ files, settings: { workers: 2 } })
  const pids = new Map<number, number>()
  // Until both workers have items.
  for (let n = 0; n < 40 || new Set(pids.values()).size < 2; n++) pids.set(n, await push(server, n))
  await server.until('both to report their items', (status) => depths(status) === pids.size)
  const victim = pids.get(0) ?? 0
  const taken = [...pids.values()].filter((pid) => pid === victim).length
  process.kill(victim, 'SIGKILL')
  const { workers } = await server.until('the other worker to report what it took over', ({ workers }) =>
    workers.some((worker) => reportOf(worker)?.adopted === taken),
  )
  assert.ok(workers.every((worker) => (reportOf(worker)?.depth ?? 0) === 0 || reportOf(worker)?.oldestAgeMs !== null))
  writeFileSync(join(server.directory.path, 'go'), '')
  await until('all to be handled', () => new Set(handled(server).map(({ n }) => n)).size === pids.size)
  assert.ok(handled(server).every(({ pid }) => pid !== victim))
  await server.until('the queues to be empty', (status) => depths(status) === 0)
  const metrics = (await request(`${server.admin}/metrics`)).body
  assert.match(metrics, /^punctual_queue_delivered_total\{worker="\d+",queue="events"\} \d+$/m)
  assert.match(metrics, new RegExp(`^punctual_queue_adopted_total\\{.*\\} ${taken}$`, 'm'))
})

test('on stop, items are delivered before the workers exit, and the log says so', async () => {
  await using server = await startServer({ files, settings: { workers: 2 } })
  for (let n = 0; n < 20; n++) await push(server, n)
  server.signal('SIGTERM')
  const { waitingFor } = await server.log('drain-waiting')
  assert.match(String(waitingFor), /^durable queue events \(\d+ items?\)$/)
  await server.until('the status to show what the stop waits for', ({ workers }) =>
    workers.some((worker) => String(worker.waitingFor) === String(waitingFor)),
  )
  writeFileSync(join(server.directory.path, 'go'), '')
  const { code } = await server.exit
  assert.equal(code, 0)
  assert.deepEqual(
    handled(server)
      .map(({ n }) => n)
      .toSorted((a, b) => a - b),
    Array.from({ length: 20 }, (_, n) => n),
  )
})

test('items that cannot be delivered on stop are handled after the next start, in order', async () => {
  await using first = await startServer({ files, settings: { workers: 1, ...HASTY } })
  for (let n = 0; n < 20; n++) await push(first, n)
  first.signal('SIGTERM')
  assert.equal((await first.exit).code, 0)
  assert.deepEqual(handled(first), [])
  await using second = await startServer({ files, settings: { workers: 1, stateDir: first.stateDirectory } })
  writeFileSync(join(second.directory.path, 'go'), '')
  await until('all to be handled', () => handled(second).length === 20)
  assert.deepEqual(
    handled(second).map(({ n }) => n),
    Array.from({ length: 20 }, (_, n) => n),
  )
})
