import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { after, before, describe, it } from 'node:test'
import { request } from '../../process/support/client.ts'
import { startServer, type TestServer } from '../../process/support/server.ts'
import { until, within } from '../../process/support/until.ts'

const APP = {
  'app.js': `
import http from 'node:http'
let hanging = 0
http.createServer((request, response) => {
  if (request.url === '/hang') hanging++
  else response.end(String(hanging))
}).listen(process.env.PORT)
process.on('SIGUSR2', () => console.log('app got SIGUSR2'))
`,
}

/** All that end a process by default, without SIGKILL and those that report a fault of it. */
const SIGNALS = (
  ['SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGABRT', 'SIGVTALRM', 'SIGPROF', 'SIGIO', 'SIGPWR', 'SIGXCPU', 'SIGSYS'] as const
).filter((signal) => signal in constants.signals)

describe('a signal to the arbiter', () => {
  let server: TestServer
  before(async () => {
    server = await startServer({ files: APP, settings: { workers: 2 } })
  })
  after(() => server[Symbol.asyncDispose]())

  it('that is no order to it is logged, and ends neither the arbiter nor a worker', async () => {
    const before = (await server.status()).workers.map(({ pid }) => pid)
    for (const signal of [...SIGNALS, 'SIGPIPE', 'SIGXFSZ', 'SIGWINCH'] as const) server.signal(signal)
    for (const signal of SIGNALS) {
      await server.log((line) => line.event === 'signal-passed' && line.signal === signal)
    }
    assert.equal((await request(server.url)).status, 200)
    assert.deepEqual(
      (await server.status()).workers.map(({ pid }) => pid),
      before,
    )
  })

  it('that the app listens for reaches it in every worker', async () => {
    await until('both workers to have heard it', () => server.output.split('app got SIGUSR2').length - 1 === 2)
  })

  it('opens the inspector of one worker, and not that of the arbiter, if it is SIGUSR1', async () => {
    await server.log(/^Debugger listening on /)
    assert.equal(server.lines.filter(({ msg }) => /Debugger listening|Starting inspector/.test(msg)).length, 1)
  })

  it('stops everything at once if it is SIGQUIT: an open request gets a 503, and the exit code is 0', async () => {
    const hanging = request(`${server.url}/hang`)
    await until('the request to have begun', async () => {
      const looks = await Promise.all(Array.from({ length: 8 }, () => request(server.url)))
      return looks.some(({ body }) => body === '1')
    })
    server.signal('SIGQUIT')
    assert.equal((await hanging).status, 503)
    assert.deepEqual(await within('the arbiter to exit', server.exit), { code: 0, signal: null })
  })
})
