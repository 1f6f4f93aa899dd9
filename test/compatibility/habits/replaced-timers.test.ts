import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { keepAliveClients, request, wordOf } from '../../process/support/client.ts'
import { startServer, type TestServer } from '../../process/support/server.ts'
import { installServer } from '../support/install.ts'

const app = join(import.meta.dirname, 'apps/replaced-timers.cjs')

describe('an app that replaces timers', () => {
  let server: TestServer
  before(async () => {
    const CLOCKS = await installServer(join(import.meta.dirname, 'packages/clocks'))
    const settings = { workers: 1, requestTimeout: '1s', stallAction: 'report', drainTimeout: '20s' }
    server = await startServer({ entry: app, settings, env: { CLOCKS } })
  })
  after(() => server[Symbol.asyncDispose]())
  const hang = async (): Promise<string> => wordOf(await request(`${server.url}/hang`, { limit: 20_000 }))

  test('sees its own wrapper of net.Socket.prototype.setTimeout called for the connections of its server', async () => {
    using clients = await keepAliveClients(1, server.url)
    const [outcome] = await Promise.all(clients.all(`${server.url}/socket-timeouts`))
    assert.ok(Number(outcome?.body) > 0)
  })

  test('keeps its deadlines while a fake clock stands still, and after it', async () => {
    const before = Number((await request(`${server.url}/stop-clock`)).body)
    assert.equal(Number((await request(`${server.url}/`)).body), before, 'the clock of the app stands still')
    assert.equal(await hang(), '503')
    await request(`${server.url}/start-clock`)
    assert.equal(await hang(), '503')
  })

  test('keeps its deadlines with zone.js', async () => {
    assert.equal((await request(`${server.url}/zone`)).status, 200)
    assert.equal(await hang(), '503')
  })

  test('drains while a fake clock stands still', async () => {
    await request(`${server.url}/stop-clock`)
    const { pid } = await server.worker()
    assert.equal((await server.command('reload')).code, 0)
    await server.log(({ event, workerPid }) => event === 'worker-exited' && workerPid === pid)
    const exited = server.lines.find(({ event, workerPid }) => event === 'worker-exited' && workerPid === pid)
    assert.equal(exited?.drained, true)
  })
})
