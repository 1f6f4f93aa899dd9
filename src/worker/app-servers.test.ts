import assert from 'node:assert/strict'
import http from 'node:http'
import net from 'node:net'
import { describe, it } from 'node:test'
import type { WorkerConfig } from '../ipc/worker-config.ts'
import { resolveSettings } from '../settings/resolve.ts'
import { applyKeepAlive } from './app-servers.ts'

function config(keepAlive: string, chosen: boolean): WorkerConfig {
  const { settings } = resolveSettings({ flags: { keepAlive }, env: {}, cwd: '/srv', isTerminal: false })
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
