import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { keepAliveClients, request, requests, tally } from '../support/client.ts'
import { printedCode } from '../support/printed-error.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'

/** Can exit in every way. `/hang` is never answered; `/hanging` counts those requests. */
const APP = {
  'app.js': `
import http from 'node:http'
import { writeFileSync } from 'node:fs'
let hanging = 0
const ends = {
  '/exit': () => process.exit(0),
  '/throw': () => setTimeout(() => { throw new RangeError('out of luck') }),
  '/reject': () => { Promise.reject(new Error('not handled')) },
}
http.createServer((request, response) => {
  if (request.url === '/hang') return void hanging++
  if (request.url === '/hanging') return response.end(String(hanging))
  if (ends[request.url]) return ends[request.url]()
  response.end(String(process.pid))
}).listen(process.env.PORT)
`,
}

const SETTINGS = { workers: 1, restartDelayMin: '10ms', crashLimit: 'unbounded' }

/** Starts requests and waits until the app has received all of them. */
async function hang(server: TestServer, count: number): Promise<Promise<string>[]> {
  const waiting = requests(count, `${server.url}/hang`)
  await until(`${count} requests in flight`, async () => {
    return (await request(`${server.url}/hanging`)).body === String(count)
  })
  return waiting.map(async (outcome) => {
    const { kind, status, headers, body } = await outcome
    if (kind !== 'answer') return kind
    const problem = JSON.parse(body) as { readonly status: number }
    return `${status} ${problem.status} ${headers['content-type']} ${headers['retry-after']} ${headers.connection}`
  })
}

describe('a worker that exits unexpectedly is replaced, with the reason recorded', () => {
  for (const [target, error] of [
    ['/exit', undefined],
    ['/throw', { name: 'RangeError', message: 'out of luck' }],
    ['/reject', { name: 'Error', message: 'not handled' }],
  ] as const) {
    it(`${target.slice(1)} at run time: every request in flight gets a complete 503, none a reset`, async () => {
      await using server = await startServer({ files: APP, settings: SETTINGS })
      const { id } = await server.worker()
      const waiting = await hang(server, 12)
      const culprit = request(`${server.url}${target}`)
      const expected = '503 503 application/problem+json 1 close'
      assert.deepEqual(await Promise.all(waiting), Array(12).fill(expected))
      assert.deepEqual(tally([await culprit]), { 503: 1 })

      await server.until('a replacement', ({ ready, workers }) => ready && workers.every((worker) => worker.id !== id))
      const incident = await server.incident('of the crash', ({ kind }) => kind === 'crash')
      assert.equal(incident.outcome, 'exited')
      assert.equal(incident.worker?.id, id)
      if (error === undefined) assert.deepEqual([incident.error, incident.exit?.code], [undefined, 0])
      else assert.partialDeepStrictEqual(incident.error, error)
      assert.deepEqual((await server.status()).restarts, { crash: 1 })
      await server.incident('with its replacement', ({ replacement }) => replacement !== undefined)
      assert.equal((await request(server.url)).status, 200)
    })
  }

  it('the error of a crash has the line of the app and no frames of Punctual', async () => {
    await using server = await startServer({ files: APP, settings: SETTINGS })
    await request(`${server.url}/throw`)
    const { error } = await server.incident('of the crash', ({ kind }) => kind === 'crash')
    assert.match(error?.stack ?? '', /app\.js:\d+:\d+/)
    assert.doesNotMatch(error?.stack ?? '', /src\/worker|node:internal/)
  })

  it('SIGKILL from outside is recorded as that', async () => {
    await using server = await startServer({ files: APP, settings: SETTINGS })
    const { pid } = await server.worker()
    process.kill(pid ?? 0, 'SIGKILL')
    const incident = await server.incident('of the kill', ({ kind }) => kind === 'crash')
    assert.deepEqual(incident.exit, { code: null, signal: 'SIGKILL' })
    const { restarts } = await server.until('a replacement', ({ ready }) => ready)
    assert.deepEqual(restarts, { 'killed-externally': 1 })
  })

  for (const [how, grow] of [
    ['slowly', 'setInterval(() => kept.push(block()), 5)'],
    ['between two turns of the loop', 'for (;;) kept.push(block())'],
  ] as const) {
    it(`a heap that fills up ${how} is recorded as out of memory`, async () => {
      await using server = await startServer({
        files: {
          'app.js': `
const kept = []
const block = () => Array.from({ length: 20_000 }, (_, index) => ({ index }))
export default (request, response) => {
  if (request.url !== '/fill') return response.end('ok')
  ${grow}
}
`,
        },
        settings: SETTINGS,
        env: { NODE_OPTIONS: '--max-old-space-size=128' },
      })
      const filling = request(`${server.url}/fill`)
      // If it fills up slowly, the incident is a stall that ends with it.
      const incident = await server.incident('of its end', ({ exit }) => exit !== undefined)
      const { used = 0, limit = 0 } = incident.heap ?? {}
      assert.equal(Math.round(limit / 2 ** 20), 128)
      assert.ok(used > 0.75 * limit, `${used} of ${limit}`)
      assert.deepEqual((await server.until('a replacement', ({ ready }) => ready)).restarts, { 'out-of-memory': 1 })
      await filling
    })
  }
})

describe('the only worker', () => {
  it('is killed under load, and no connection is refused until its replacement is ready', async (context) => {
    await using server = await startServer({ files: APP, settings: { ...SETTINGS, restartDelayMin: '300ms' } })
    const outcomes: Promise<Awaited<ReturnType<typeof request>>>[] = []
    const { pid, id } = await server.worker()
    process.kill(pid ?? 0, 'SIGKILL')
    await server.until('its end to be known', ({ workers }) => workers.every((worker) => worker.id !== id))
    // Until the replacement is ready, no process accepts connections.
    await until('a replacement', async () => {
      outcomes.push(...requests(5, server.url))
      return (await server.status()).ready
    })
    const counts = tally(await Promise.all(outcomes))
    context.diagnostic(`while no worker lived: ${JSON.stringify(counts)}`)
    assert.deepEqual(Object.keys(counts), ['200'])
    assert.ok(outcomes.length >= 5)
  })

  it('is killed between requests of keep-alive clients, and later requests succeed', async (context) => {
    await using server = await startServer({ files: APP, settings: SETTINGS })
    using clients = await keepAliveClients(10, server.url)
    const { pid, id } = await server.worker()
    process.kill(pid ?? 0, 'SIGKILL')
    await server.until('a replacement', ({ ready, workers }) => ready && workers.every((worker) => worker.id !== id))
    const counts = tally(await Promise.all(clients.all(server.url)))
    context.diagnostic(`after the kill: ${JSON.stringify(counts)}`)
    assert.deepEqual(counts, { 200: 10 })
  })
})

describe('a worker that can no longer boot', () => {
  /** The first boot succeeds; later ones fail until the file `fixed` exists. */
  const FRAGILE = {
    'app.js': `
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
appendFileSync('boots', '.')
if (readFileSync('boots', 'utf8').length > 1 && !existsSync('fixed')) throw new Error('the certificate has expired')
export default (request, response) => request.url === '/exit' ? process.exit(9) : response.end('ok')
`,
  }

  it('is restarted with growing delays, counted by reason, until it boots', async (context) => {
    await using server = await startServer({
      files: FRAGILE,
      settings: { workers: 1, restartDelayMin: '20ms', restartDelayMax: '400ms', crashLimit: 'unbounded' },
    })
    await request(`${server.url}/exit`)
    await server.until('four failures to boot', ({ restarts }) => (restarts.boot ?? 0) >= 4)
    const delays = server.lines
      .filter(({ event }) => event === 'worker-restarting')
      .map(({ restartInMs }) => Math.round(Number(restartInMs)))
    context.diagnostic(`delays in ms: ${delays.join(', ')}`)
    assert.deepEqual(delays.slice(0, 5), [20, 40, 80, 160, 320])
    server.directory.write({ fixed: '' })
    const { restarts } = await server.until('it to serve again', ({ ready }) => ready)
    assert.equal(restarts.crash, 1)
    const boots = (await server.incidents()).filter(({ kind }) => kind === 'boot')
    assert.equal(boots.length, restarts.boot)
    assert.partialDeepStrictEqual(boots[0]?.error, { name: 'Error', message: 'the certificate has expired' })
    assert.equal((await request(server.url)).status, 200)
  })

  it('ends with exit code 5 at the crash limit, with counts of the reasons', async () => {
    await using server = await startServer({
      files: FRAGILE,
      settings: { workers: 1, restartDelayMin: '10ms', crashLimit: 3, crashWindow: '1m' },
    })
    await request(`${server.url}/exit`)
    const { code } = await server.exit
    assert.equal(code, 5, server.output)
    const message = server.lines.filter(({ level }) => level === '').map(({ msg }) => msg)
    assert.equal(printedCode(message.join('\n')), 'PUNCTUAL_CRASH_LOOP', message.join('\n'))
    const loop = await server.incident('of the loop', ({ kind }) => kind === 'crash-loop')
    assert.deepEqual(loop.failures, { withinMs: 60_000, reasons: { boot: 2, crash: 1 } })
    assert.equal(loop.error?.message, 'the certificate has expired')
    assert.ok(server.lines.some(({ level, incident }) => level === 'fatal' && incident === loop.id))
  })
})
