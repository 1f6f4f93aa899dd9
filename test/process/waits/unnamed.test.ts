import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Client } from 'pg'
import { startPostgres, type TestServer as TestDatabase } from '../database/postgres.ts'
import { request } from '../support/client.ts'
import type { LogLine } from '../support/log-lines.ts'
import { startServer, type TestServer } from '../support/server.ts'

/** An app that uses Punctual for one pool only. */
const APP = `
import http from 'node:http'
import { createRequire } from 'node:module'
import net from 'node:net'
const require = createRequire(process.env.PACKAGES)
const pg = require('pg')
const { guardPool } = await import(process.env.GUARD)
const tcp = JSON.parse(process.env.DATABASE)
const guarded = guardPool('shop', new pg.Pool(tcp))
const tls = { ...tcp, host: 'localhost', ssl: { ca: process.env.CERTIFICATE } }
const pools = {
  '/tcp': new pg.Pool(tcp),
  '/tls': new pg.Pool(tls),
  '/unix': new pg.Pool({ ...tcp, host: process.env.SOCKETS }),
  '/guarded': guarded,
}
for (const pool of Object.values(pools)) await pool.query('select 1')
const silent = net.createServer((socket) => {
  socket.on('data', (head) => console.log('deadline ' + /request-timeout: (\\S+)/i.exec(head)?.[1]))
})
await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve))
http.createServer(async (request, response) => {
  if (request.url === '/fetch') await fetch('http://127.0.0.1:' + silent.address().port + '/users?key=secret')
  else await pools[request.url.split('?')[0]].query('select * from locked')
  response.end()
}).listen(process.env.PORT, process.env.HOST)
process.on('unhandledRejection', () => {})
`

describe('a request that times out reports what it was waiting for', () => {
  let database: TestDatabase
  let holder: Client
  let certificate: string

  before(async () => {
    database = await startPostgres()
    certificate = await database.enableTls()
    holder = await database.outsider()
    await holder.query('create table locked (id int)')
    await holder.query('begin')
    await holder.query('lock table locked in access exclusive mode')
  })
  after(async () => {
    await holder?.end()
    await database?.stop()
  })

  const start = (settings: Record<string, string> = {}): Promise<TestServer> =>
    startServer({
      files: { 'app.mjs': APP },
      settings: { workers: 1, requestTimeout: '1500ms', stallAction: 'report', logFormat: 'json', ...settings },
      env: {
        PACKAGES: import.meta.url,
        GUARD: new URL('../../../src/postgres/guard-pool.ts', import.meta.url).href,
        DATABASE: JSON.stringify(database.options('unnamed')),
        SOCKETS: database.socketDirectory,
        CERTIFICATE: certificate,
      },
    })
  const expired = async (server: TestServer, path: string): Promise<LogLine> => {
    assert.equal((await request(`${server.url}${path}`)).status, 503)
    return server.log(({ event, route, outcome }) => event === 'request' && route === path && outcome === 'timed-out')
  }
  /** The names of the waits that were open when the request timed out. */
  const waiting = (line: LogLine | undefined): string[] =>
    ((line?.waiting ?? []) as readonly { readonly name: string }[]).map(({ name }) => name)

  test('a query of pg on a locked table: over TCP, TLS and a Unix socket, without code in the app', async () => {
    await using server = await start()
    const { port } = database
    const [tcp, tls, unix] = await Promise.all(['/tcp', '/tls', '/unix'].map((path) => expired(server, path)))
    assert.deepEqual(waiting(tcp), [`127.0.0.1:${port}`])
    assert.deepEqual(waiting(tls), [`localhost:${port}`])
    assert.deepEqual(waiting(unix), [`${database.socketDirectory}/.s.PGSQL.${port} (postgresql)`])
  })

  test('a guarded query, which times out before the request, by its name only', async () => {
    await using server = await start()
    const line = await expired(server, '/guarded')
    assert.partialDeepStrictEqual(line.waits, [{ name: 'pool shop: select * from locked', outcome: 'timed-out' }])
    assert.deepEqual(waiting(line), [])
  })

  test('an outgoing call, which sends the remaining time', async () => {
    await using server = await start({ propagateDeadlines: 'all' })
    const line = await expired(server, '/fetch')
    assert.match(waiting(line).join(), /^GET 127\.0\.0\.1:\d+\/users \(http\)$/)
    await server.log(/^deadline \d{1,4}$/)
    assert.doesNotMatch(server.output, /secret/)
  })

  test('nothing if that is turned off', async () => {
    await using server = await start({ traceWaits: 'off' })
    const line = await expired(server, '/tcp')
    assert.deepEqual(waiting(line), [])
  })
})
