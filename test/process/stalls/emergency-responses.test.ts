import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import type net from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import tls from 'node:tls'
import { request, requests, tally, wordOf } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'
import { startServer } from '../support/server.ts'
import { within } from '../support/until.ts'
import { onEveryNode } from './every-node.ts'

const entry = join(import.meta.dirname, 'apps/many-kinds.ts')
const LIMITS = {
  workers: 1,
  stallReportAfter: '300ms',
  stallInterruptAfter: '600ms',
  stallKillAfter: '3s',
  frozenKillAfter: '20s',
}
/** Generous: emergency responses may take 100 ms, and the time is measured. */
const TOOK_LIMIT = 150

onEveryNode('a worker that is killed closes the connections that it cannot answer', (node) => {
  test('a half-sent response, an upgraded socket, TLS and HTTP/2 are closed and counted; other requests are answered', async () => {
    const [tlsPort, h2Port] = [await freePort(), await freePort()]
    const env = {
      TLS_PORT: String(tlsPort),
      H2_PORT: String(h2Port),
      TLS_KEY: './key.pem',
      TLS_CERTIFICATE: './cert.pem',
    }
    await using server = await startServer({
      entry,
      settings: LIMITS,
      env,
      node: node.binary,
      prepare: makeCertificate,
    })
    const half = request(`${server.url}/half`)
    const upgraded = await upgrade(server.port)
    const upgradedEnd = once(upgraded, 'close')
    const secure = tls.connect({ port: tlsPort, host: '127.0.0.1', rejectUnauthorized: false })
    await within('the TLS handshake', once(secure, 'secureConnect'))
    secure.on('error', () => {})
    secure.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    const secureEnd = once(secure, 'close')
    const session = http2.connect(`http://127.0.0.1:${h2Port}`)
    session.on('error', () => {})
    const stream = session.request({ ':path': '/' })
    stream.on('error', () => {})
    const streamEnd = once(stream, 'close')
    const waiting = requests(5, `${server.url}/wait`)
    const head = request(`${server.url}/wait`, { method: 'HEAD' })
    const upload = request(`${server.url}/wait`, { method: 'POST', body: Buffer.alloc(500_000) })
    await server.until('all to be known', ({ workers }) => workers[0]?.inFlight === 10 && workers[0].connections === 11)

    const block = request(`${server.url}/block`)
    const answers = await Promise.all([block, head, upload, ...waiting])
    assert.deepEqual(tally(answers), { 503: 8 })
    assert.equal((await head).body, '')
    assert.equal(wordOf(await half), 'cut-short')
    await within('the others to be closed', Promise.all([upgradedEnd, secureEnd, streamEnd]))
    session.destroy()

    const incident = await server.incident('killed', ({ outcome, exit }) => outcome === 'killed' && exit !== undefined)
    const { inFlight, unread, closed, tookMs } = incident.emergencyResponses ?? { tookMs: Number.NaN }
    node.note(
      'emergency responses: waiting / half-sent, upgraded, TLS, HTTP/2',
      `${inFlight} answered / ${closed} closed`,
    )
    assert.deepEqual({ inFlight, unread, closed }, { inFlight: 8, unread: 0, closed: 4 })
    assert.ok(tookMs <= TOOK_LIMIT, `last answers took ${tookMs} ms`)
  })
})

function makeCertificate(directory: string): void {
  const options = '-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost'
  execFileSync('openssl', ['req', ...options.split(' '), '-keyout', 'key.pem', '-out', 'cert.pem'], {
    cwd: directory,
    stdio: 'pipe',
  })
}

function upgrade(port: number): Promise<net.Socket> {
  const outgoing = http.request({ port, host: '127.0.0.1', headers: { connection: 'Upgrade', upgrade: 'echo' } })
  outgoing.end()
  return within(
    'the upgrade',
    new Promise((resolve, reject) => {
      outgoing.on('error', reject)
      outgoing.on('upgrade', (_response, socket) => {
        socket.on('error', () => {})
        resolve(socket)
      })
    }),
  )
}
