import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { afterEach, describe, it } from 'node:test'
import { ConnectionTable } from '../http/connection-table.ts'
import { Traffic } from '../http/traffic.ts'
import type { WorkerConfig } from '../ipc/worker-config.ts'
import { resolveSettings } from '../settings/resolve.ts'
import { AppServers, applyKeepAlive } from './app-servers.ts'

function config(keepAlive: string, chosen: boolean, port = 3_000): WorkerConfig {
  const { settings } = resolveSettings({
    flags: { keepAlive, port: String(port) },
    env: {},
    cwd: '/srv',
    isTerminal: false,
  })
  return {
    id: 1,
    accepts: 'at-once',
    socketFiles: [],
    generation: 1,
    entry: '/srv/app.js',
    appArguments: [],
    appFlags: [],
    settings,
    set: {},
    chosen: chosen ? ['keepAlive'] : [],
  }
}

describe('the keepAlive setting', () => {
  it("applies if the app has kept Node's default", () => {
    const server = http.createServer()
    applyKeepAlive(server, config('7s', false))
    assert.equal(server.keepAliveTimeout, 7_000)
  })

  it("keeps the app's own value if the user has set none", () => {
    const server = http.createServer({ keepAliveTimeout: 72_000 })
    applyKeepAlive(server, config('7s', false))
    assert.equal(server.keepAliveTimeout, 72_000)
  })

  it("overrides the app's own value if the user has set it", () => {
    const server = http.createServer({ keepAliveTimeout: 72_000 })
    applyKeepAlive(server, config('7s', true))
    assert.equal(server.keepAliveTimeout, 7_000)
  })

  it('ignores a server that is not an HTTP server', () => {
    applyKeepAlive(net.createServer(), config('7s', true))
  })
})

describe('the server that makes a worker ready', () => {
  const open: net.Server[] = []
  afterEach(() => {
    for (const server of open.splice(0)) server.close()
  })

  async function listen(): Promise<net.Server> {
    const server = net.createServer().listen(0, '127.0.0.1')
    open.push(server)
    await once(server, 'listening')
    return server
  }

  /** An app that listens on the configured port and on another. */
  async function twoServers() {
    const [other, configured] = [await listen(), await listen()]
    const settings = config('5s', false, (configured.address() as net.AddressInfo).port)
    const traffic = new Traffic(new ConnectionTable(), settings.settings)
    return { other, configured, traffic, servers: new AppServers(traffic, settings) }
  }

  it('is not another one, while the one on the configured port listens and is not yet added', async () => {
    const { other, configured, traffic, servers } = await twoServers()
    traffic.servers.add(other).add(configured)
    servers.add(other)
    assert.equal(servers.candidate, undefined)
    servers.add(configured)
    assert.equal(servers.candidate, configured)
  })

  it('is that on the configured port, whichever listens first', async () => {
    const { other, configured, servers } = await twoServers()
    servers.add(other)
    assert.equal(servers.candidate, other)
    servers.add(configured)
    assert.equal(servers.candidate, configured)
    assert.equal(servers.listening, configured)
  })

  it('is no other while a server is about to listen, or once the configured port was served', async () => {
    const { other, configured, traffic, servers } = await twoServers()
    servers.add(other)
    const waiting = net.createServer()
    traffic.toListen.add(waiting)
    assert.equal(servers.candidate, undefined)
    traffic.toListen.delete(waiting)
    assert.equal(servers.candidate, other)
    servers.serve(configured)
    assert.equal(servers.candidate, undefined)
  })

  it('is lost with the configured port, and otherwise with the last server', async () => {
    const { other, configured, servers } = await twoServers()
    servers.add(other)
    servers.add(configured)
    servers.serve(other)
    assert.equal(servers.haveClosed, false)
    servers.serve(configured)
    configured.close()
    assert.equal(servers.haveClosed, true)
    servers.serve(other)
    assert.equal(servers.haveClosed, false)
    other.close()
    assert.equal(servers.haveClosed, true)
  })
})
