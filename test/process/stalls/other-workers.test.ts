import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { request, requests, tally } from '../support/client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { onEveryNode } from './every-node.ts'

const entry = join(import.meta.dirname, 'apps/controlled.ts')
/** Generous: the test is about missing answers, not about a busy machine. */
const PROBE_LIMIT = 1_000
const PROBES = 20

onEveryNode('while one of two workers is blocked', (node) => {
  test('the other answers 200 of 200 new connections, and every probe is answered', async (t) => {
    await using server = await startServer({
      entry,
      settings: { workers: 2, stallReportAfter: '1500ms', stallAction: 'report' },
      env: { STOP_FILE: './stop' },
      node: node.binary,
    })
    const idle = await probe(server)
    const blocker = request(`${server.url}/until-file`)
    const status = await server.until('one to be stalled', ({ workers }) =>
      workers.some(({ state }) => state === 'stalled'),
    )
    const blocked = status.workers.find(({ state }) => state === 'stalled')
    const answers = await Promise.all(requests(200, `${server.url}/ok`))
    assert.deepEqual(tally(answers), { 200: 200 })
    assert.ok(answers.every(({ body }) => body !== String(blocked?.pid)))

    const busy = await probe(server)
    tell(t, node.major, idle, busy)
    const command = await server.command('status')
    assert.equal(command.code, 0, command.stderr)
    assert.match(command.stdout, /stalled/)

    writeFileSync(join(server.directory.path, 'stop'), '')
    assert.equal((await blocker).body, String(blocked?.pid), 'it continues undisturbed')
    await server.until('both to be ready', ({ workers }) => workers.every(({ state }) => state === 'ready'))
    node.note('200 new connections', '200 answered')
  })

  test('a SIGKILL of the arbiter leaves no process, although a worker spins', async () => {
    await using server = await startServer({
      entry,
      settings: { workers: 2, stallReportAfter: '1500ms', stallAction: 'report' },
      env: { STOP_FILE: './stop' },
      node: node.binary,
    })
    const blocker = request(`${server.url}/until-file`)
    await server.until('one to be stalled', ({ workers }) => workers.some(({ state }) => state === 'stalled'))
    server.signal('SIGKILL')
    await until('no process to be left', () => server.processes().length === 0, 5_000)
    assert.notEqual((await blocker).kind, 'timeout')
    node.note('arbiter killed', 'no process left')
  })
})

type Timings = Readonly<Record<string, readonly number[]>>

/** The time of each probe in milliseconds. */
async function probe(server: TestServer): Promise<Timings> {
  const timings: Record<string, number[]> = {}
  for (const path of ['/livez', '/readyz', '/status', '/metrics']) {
    const taken: number[] = []
    for (let i = 0; i < PROBES; i++) {
      const { kind, status, tookMs } = await request(`${server.admin}${path}`, { limit: PROBE_LIMIT })
      assert.deepEqual({ kind, status }, { kind: 'answer', status: 200 }, path)
      taken.push(tookMs)
    }
    timings[path] = taken.sort((a, b) => a - b)
  }
  return timings
}

function tell(t: TestContext, major: number, idle: Timings, busy: Timings): void {
  for (const [path, taken] of Object.entries(busy)) {
    const figures = [idle[path] ?? [], taken].map((one) => `${round(one[one.length >> 1])}/${round(one.at(-1))}`)
    t.diagnostic(`Node ${major} ${path}: median/max ${figures[0]} ms before, ${figures[1]} ms while blocked`)
  }
}

function round(milliseconds: number | undefined): string {
  return (milliseconds ?? Number.NaN).toFixed(1)
}
