import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Outcome, request, wordOf } from '../support/client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { controlInput, fuzzSocket, httpInput } from './fuzz-inputs.ts'
import { type Attack, attack, get } from './hostile-clients.ts'

/** Inputs for each server; `INPUTS=10000` for the long form. */
const INPUTS = Number(process.env.INPUTS ?? 300)
/** How long an attack is watched, in milliseconds. */
const WATCHED = 2_500
const MAX_RSS = 150 * 1024 * 1024
/** Beyond what a busy machine needs, and below what a client that is locked out waits. */
const PROBE_LIMIT = 8_000
const INCIDENTS = 200
const BIG = '20261122T004399999-w1-stall'

let server: TestServer
let port = 0
/** Of the server for probes. */
let probes = 0

before(async () => {
  server = await startServer({
    files: {
      'app.js': `import http from 'node:http'\nhttp.createServer((q, r) => r.end('ok')).listen(process.env.PORT)`,
    },
    settings: {
      workers: 1,
      maxIncidents: 400,
      adminHost: '0.0.0.0',
      adminHosts: 'admin.test,*.admin.test',
      probePort: 0,
      probeHost: '127.0.0.1',
      probeMetrics: 'on',
    },
    prepare: writeIncidents,
  })
  port = Number(new URL(server.admin).port)
  probes = Number(new URL(String((await server.log(({ event }) => event === 'probes')).probes)).port)
})
after(async () => {
  await server[Symbol.asyncDispose]()
})

function writeIncidents(directory: string): void {
  const incidents = join(directory, 'state/incidents')
  mkdirSync(incidents, { recursive: true, mode: 0o700 })
  const write = (id: string, frames: number): void => {
    const evidence = Array.from({ length: frames }, (_, line) => ({ file: `/app/${'x'.repeat(80)}.js`, line }))
    const worker = { id: 1, pid: 7, generation: 1 }
    const at = '2026-11-22T00:43:31.123Z'
    const incident = { id, kind: 'stall', at, worker, summary: `worker 1 stalled ${id}`, outcome: 'ended', evidence }
    writeFileSync(join(incidents, `${id}.json`), JSON.stringify(incident))
  }
  for (let at = 0; at < INCIDENTS; at++) write(`20261122T0043${String(at).padStart(5, '0')}-w1-stall`, 500)
  write(BIG, 60_000)
}

/** Of the arbiter, in bytes. */
function rss(): number {
  const [, kilobytes] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

const descriptors = (): number => readdirSync(`/proc/${server.pid}/fd`).length

const ask = (path: string, to = port, headers: Record<string, string> = {}): Promise<Outcome> =>
  request(`http://127.0.0.1:${to}${path}`, { headers, limit: PROBE_LIMIT })

/** Attacks for a while; the arbiter stays small, and every probe is answered. */
async function withstand(options: Attack): Promise<{ connections: number; answers: number }> {
  using clients = attack(options)
  await until('the attack to begin', () => clients.seen.connections > 0)
  const end = performance.now() + WATCHED
  let largest = 0
  while (performance.now() < end) {
    for (const path of ['/livez', '/readyz']) {
      const outcome = await ask(path)
      // A busy machine may stall the worker, so that `/readyz` rightly says 503.
      assert.ok(
        outcome.status === 200 || (path === '/readyz' && outcome.status === 503),
        `${path} ${wordOf(outcome)} ${outcome.why}`,
      )
    }
    largest = Math.max(largest, rss())
    assert.ok(largest < MAX_RSS, `the arbiter uses ${Math.round(largest / 2 ** 20)} MiB`)
    await sleep(50)
  }
  return clients.seen
}

describe('the arbiter stays small and answers probes', () => {
  const paths = [
    '/incidents',
    '/status',
    '/metrics',
    '/',
    `/incidents/${BIG}`,
    '/incidents/20261122T004300001-w1-stall',
  ]

  test('while one connection sends thousands of requests and reads no answer', async () => {
    await withstand({ kind: 'pipeline', clients: 1, to: port, requests: [get('/incidents')] })
  })

  test('while hundreds of connections send thousands of requests and read no answer', async () => {
    await withstand({ kind: 'pipeline', clients: 200, to: port, requests: paths.map(get) })
  })

  test('while a hundred clients ask for everything, and they are answered', async () => {
    const { answers } = await withstand({ kind: 'keep-alive', clients: 100, to: port, requests: paths.map(get) })
    assert.ok(answers > 100, `${answers} answers`)
  })

  test('while clients hold more connections than it serves, with requests that never end', async () => {
    await withstand({ kind: 'half-open', clients: 600, to: port })
  })

  test('while clients connect and leave', async () => {
    await withstand({ kind: 'reconnect', clients: 100, to: port })
  })

  test('while clients send bodies without end', async () => {
    await withstand({ kind: 'upload', clients: 50, to: port })
  })

  test('and the app is served throughout', async () => {
    assert.equal(wordOf(await request(server.url)), '200')
    assert.equal((await server.status()).restarts.crash ?? 0, 0)
  })
})

test('all incidents are listed, except for files that are larger than the arbiter writes', async () => {
  const { body } = await ask('/incidents')
  const planted = (JSON.parse(body) as { id: string }[]).filter(({ id }) => id.startsWith('20261122T0043'))
  assert.equal(planted.length, INCIDENTS)
  assert.equal(wordOf(await ask(`/incidents/${BIG}`)), '404')
  assert.equal(wordOf(await ask('/incidents/20261122T004300001-w1-stall')), '200')
})

test('a name that is not listed is refused on every address, so that no web page reads it (DNS rebinding)', async () => {
  for (const host of ['evil.example', `evil.example:${port}`, 'admin.test.evil.example']) {
    for (const path of ['/status', '/incidents', '/metrics', '/', '/livez']) {
      assert.equal(wordOf(await ask(path, port, { host })), '421', `${host}${path}`)
    }
  }
  for (const host of ['admin.test', `a.admin.test:${port}`, `localhost:${port}`, `10.0.0.7:${port}`, '[fe80::1]']) {
    assert.equal(wordOf(await ask('/status', port, { host })), '200', host)
  }
})

test('the server for probes has probes and metrics, and nothing else', async () => {
  const found = await Promise.all(
    ['/livez', '/readyz', '/metrics', '/status', '/incidents', `/incidents/${BIG}`, '/'].map(async (path) => [
      path,
      wordOf(await ask(path, probes)),
    ]),
  )
  assert.deepEqual(Object.fromEntries(found), {
    '/livez': '200',
    '/readyz': '200',
    '/metrics': '200',
    '/status': '404',
    '/incidents': '404',
    [`/incidents/${BIG}`]: '404',
    '/': '404',
  })
  assert.equal(wordOf(await ask('/readyz', probes, { host: 'lb.example' })), '200')
  assert.equal(wordOf(await ask('/metrics', probes, { host: 'evil.example' })), '421')
})

test('an admin server that others can reach is reported, with its address', async () => {
  assert.equal((await server.log(({ event }) => event === 'admin-exposed')).adminHost, '0.0.0.0')
})

test('commands are executed while clients hold the control socket, and the arbiter stays small', async () => {
  const to = join(server.stateDirectory, 'control.sock')
  const status = `${JSON.stringify({ id: 1, command: 'status' })}\n`
  for (const kind of ['half-open', 'pipeline'] as const) {
    using clients = attack({ kind, clients: 100, to, requests: [status] })
    await until('the attack to begin', () => clients.seen.connections > 0)
    // Refused while each of its clients has a command running, with the advice to try again.
    await until('a command to be executed', async () => (await server.command('status')).code === 0)
    assert.ok(rss() < MAX_RSS, `the arbiter uses ${Math.round(rss() / 2 ** 20)} MiB`)
  }
})

test('input of any kind ends no process, and leaves no descriptor open', async () => {
  const { pid } = await server.worker()
  await until(
    'the clients of other tests to be gone',
    async () => (await ask('/livez')).status === 200 && descriptors() < 60,
  )
  const open = descriptors()
  const control = join(server.stateDirectory, 'control.sock')
  for (const answer of await fuzzSocket(INPUTS, { port, host: '127.0.0.1' }, httpInput)) {
    assert.match(answer, /^$|^HTTP\/1\.1 (200|400|403|404|405|408|421|431|503|505) /)
  }
  assert.ok(rss() < MAX_RSS, `the arbiter uses ${Math.round(rss() / 2 ** 20)} MiB`)
  for (const answer of await fuzzSocket(INPUTS, { path: control }, controlInput)) {
    for (const line of answer.split('\n').slice(0, -1)) assert.equal(typeof JSON.parse(line), 'object')
  }
  await until('the descriptors to be closed', () => descriptors() <= open)
  assert.equal((await server.worker()).pid, pid)
})
