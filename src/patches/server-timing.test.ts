import assert from 'node:assert/strict'
import { once } from 'node:events'
import http, { type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { Traffic } from '../http/traffic.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import { patchServers } from './http-server.ts'
import { patchServerTiming } from './server-timing.ts'

patchServers(new Traffic())
patchServerTiming()

let listener: http.RequestListener = () => {}
const server = http.createServer((request, response) => listener(request, response)).listen(0, '127.0.0.1')
await once(server, 'listening')
after(() => server.close())

async function headers(handler: http.RequestListener): Promise<IncomingHttpHeaders> {
  listener = handler
  const { port } = server.address() as AddressInfo
  const [response] = (await once(http.get({ host: '127.0.0.1', port, agent: false }), 'response')) as [
    http.IncomingMessage,
  ]
  response.resume()
  await once(response, 'end')
  return response.headers
}

const TOTAL = /^total;dur=\d+\.\d$/

const WAYS: Readonly<Record<string, http.RequestListener>> = {
  'an implicit head': (_, response) => response.end('x'),
  'a first write': (_, response) => {
    response.write('x')
    response.end()
  },
  'a status alone': (_, response) => response.writeHead(201).end(),
  'headers as an object': (_, response) => response.writeHead(200, { 'x-own': '1' }).end(),
  'a reason and headers': (_, response) => response.writeHead(200, 'Fine', { 'x-own': '1' }).end(),
  'headers as a list': (_, response) => response.writeHead(200, ['x-own', '1']).end(),
  'headers as pairs': (_, response) => response.writeHead(200, [['x-own', '1']] as unknown as string[]).end(),
  'a list after others were set': (_, response) =>
    response.setHeader('x-more', '1').writeHead(200, ['x-own', '1']).end(),
}

for (const [way, handler] of Object.entries(WAYS)) {
  test(`${way}: the header has the total, and the app's headers are kept`, async () => {
    const found = await headers(handler)
    assert.match(String(found['server-timing']), TOTAL)
    if (way.includes('headers') || way.includes('list')) assert.equal(found['x-own'], '1')
  })
}

test('waits that have ended are listed by name, as tokens, and those with one name are added up', async () => {
  const found = await headers(async (_, response) => {
    await withTimeout('user look-up (db)', '1s', () => undefined)
    await withTimeout('user look-up (db)', '1s', () => undefined)
    await withTimeout('über, "x"', '1s', () => undefined)
    void withTimeout('open', '1s', () => new Promise((resolve) => response.once('finish', resolve)))
    response.end()
  })
  const parts = String(found['server-timing']).split(', ')
  assert.match(parts[0] ?? '', TOTAL)
  assert.deepEqual(
    parts
      .slice(1)
      .map((part) => part.split(';')[0])
      .toSorted(),
    ['_ber_x_', 'user_look-up_db_'],
  )
})

test('the ten longest of many waits are listed', async () => {
  const found = await headers(async (_, response) => {
    for (let index = 0; index < 30; index++) await withTimeout(`wait ${index}`, '1s', () => undefined)
    response.end()
  })
  assert.equal(String(found['server-timing']).split(', ').length, 11)
})

test('a header of the app is kept', async () => {
  const beside = await headers((_, response) => response.setHeader('Server-Timing', 'db;dur=1').end())
  assert.match(String(beside['server-timing']), /^db;dur=1, total;dur=/)
  const instead = await headers((_, response) => response.writeHead(200, { 'Server-Timing': 'db;dur=1' }).end())
  assert.equal(instead['server-timing'], 'db;dur=1')
})
