import assert from 'node:assert/strict'
import http from 'node:http'
import net from 'node:net'
import { describe, it } from 'node:test'
import type { WorkerConfig } from '../ipc/worker-config.ts'
import { resolveSettings } from '../settings/resolve.ts'
import { applyKeepAlive } from './keep-alive.ts'

function config(keepAlive: string, chosen: boolean): WorkerConfig {
  const { settings } = resolveSettings({ flags: { keepAlive }, env: {}, cwd: '/srv', isTerminal: false })
  return {
    id: 1,
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
    assert.equal(applyKeepAlive(server, config('7s', false)), null)
    assert.equal(server.keepAliveTimeout, 7_000)
  })

  it("keeps the app's own value, and reports it", () => {
    const server = http.createServer({ keepAliveTimeout: 72_000 })
    assert.match(applyKeepAlive(server, config('7s', false)) ?? '', /^keepAlive \(7s\) does not apply, .*72\.0 s/)
    assert.equal(server.keepAliveTimeout, 72_000)
    server.keepAliveTimeout = 7_000
    assert.equal(applyKeepAlive(server, config('7s', false)), null)
  })

  it("overrides the app's own value if the user has set it", () => {
    const server = http.createServer({ keepAliveTimeout: 72_000 })
    assert.equal(applyKeepAlive(server, config('7s', true)), null)
    assert.equal(server.keepAliveTimeout, 7_000)
  })

  it('ignores a server that is not an HTTP server', () => {
    assert.equal(applyKeepAlive(net.createServer(), config('7s', true)), null)
  })
})
