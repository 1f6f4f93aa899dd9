import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { request, requests, tally } from '../support/client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { until, within } from '../support/until.ts'

/**
 * `/slow` takes a second. Its SIGTERM and SIGINT listeners print how many requests were answered.
 */
const APP = {
  'app.js': `
import http from 'node:http'
let answered = 0
let begun = 0
http.createServer((request, response) => {
  if (request.url === '/begun') return response.end(String(begun))
  begun++
  setTimeout(() => { answered++; response.end('late') }, request.url === '/slow' ? 1000 : 60_000)
}).listen(process.env.PORT)
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => { console.log(signal + ' after ' + answered); process.exit(0) })
}
`,
}

function begun(server: TestServer, count: number): Promise<unknown> {
  return until(
    `${count} requests to be begun`,
    async () => (await request(`${server.url}/begun`)).body === String(count),
  )
}

describe('a stop', () => {
  it("by Ctrl-C, which signals the whole process group, drains before the app's own listener runs", async () => {
    await using server = await startServer({ files: APP, settings: { workers: 1 } })
    const slow = requests(6, `${server.url}/slow`)
    await begun(server, 6)
    // As a terminal does: each process of the group gets the signal.
    for (const pid of server.processes()) process.kill(pid, 'SIGINT')
    assert.deepEqual(tally(await Promise.all(slow)), { 200: 6 })
    assert.deepEqual(await within('the server to stop', server.exit), { code: 0, signal: null })
    assert.ok(server.output.includes('SIGTERM after 6'), server.output)
    assert.ok(!server.output.includes('SIGINT after'), server.output)
  })

  it('with a second signal happens at once, and every client gets a complete 503', async () => {
    await using server = await startServer({ files: APP, settings: { workers: 1 } })
    const slow = requests(6, `${server.url}/hang`)
    await begun(server, 6)
    server.signal('SIGTERM')
    await server.log((line) => line.event === 'stopping' && line.reason === 'SIGTERM')
    server.signal('SIGTERM')
    const answers = await Promise.all(slow)
    assert.deepEqual(tally(answers), { 503: 6 })
    for (const { headers } of answers) assert.equal(headers['content-type'], 'application/problem+json')
    assert.deepEqual(await within('the server to stop', server.exit, 10_000), { code: 0, signal: null })
    assert.ok(!server.output.includes('SIGTERM after'), server.output)
  })

  it('while the first generation boots ends at once with exit code 0', async () => {
    await using server = await startServer({
      files: { 'app.js': 'console.log("booting")\nawait new Promise((resolve) => setTimeout(resolve, 60_000))' },
      settings: { workers: 2 },
      ready: false,
    })
    await server.log(/^booting$/)
    server.signal('SIGTERM')
    assert.deepEqual(await within('the server to stop', server.exit, 15_000), { code: 0, signal: null })
    assert.ok(!server.output.includes('PUNCTUAL_BOOT_FAILED'), server.output)
    assert.deepEqual(await server.incidents(), [])
  })

  it('while the app blocks briefly waits for it', async () => {
    await using server = await startServer({
      files: {
        'app.js': `
export default (request, response) => {
  const end = performance.now() + (request.url === '/spin' ? 700 : 0)
  while (performance.now() < end);
  response.end('spun')
}
`,
      },
      settings: { workers: 1 },
    })
    const spinning = request(`${server.url}/spin`)
    await server.until('the request to be begun', ({ workers }) => (workers[0]?.requests ?? 0) >= 1)
    server.signal('SIGTERM')
    assert.equal((await spinning).body, 'spun')
    assert.equal((await within('the server to stop', server.exit, 15_000)).code, 0)
  })

  for (const [what, ending] of [
    ['exported', 'export default app'],
    ['exported and listening', 'await app.listen({ port: Number(process.env.PORT) })\nexport default app'],
  ] as const) {
    it(`of a Fastify app, ${what}, runs its onClose hooks after the last answer`, async () => {
      await using server = await startServer({
        files: {
          'app.js': `
import fastify from 'fastify'
const app = fastify()
let answered = 0
let begun = 0
app.addHook('onClose', async () => { console.log('closed after ' + answered) })
app.get('/slow', async () => {
  begun++
  await new Promise((resolve) => setTimeout(resolve, 800))
  answered++
  return 'late'
})
app.get('/begun', async () => String(begun))
${ending}
`,
        },
        settings: { workers: 1, keepAlive: '5s' },
      })
      const slow = requests(4, `${server.url}/slow`)
      await begun(server, 4)
      server.signal('SIGTERM')
      assert.deepEqual(tally(await Promise.all(slow)), { 200: 4 })
      assert.equal((await within('the server to stop', server.exit)).code, 0)
      assert.ok(server.output.includes('closed after 4'), server.output)
    })
  }
})
