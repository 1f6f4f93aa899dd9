import assert from 'node:assert/strict'
import dgram from 'node:dgram'
import { once } from 'node:events'
import { test } from 'node:test'
import { request } from '../../process/support/client.ts'
import { startServer } from '../../process/support/server.ts'

const settings = { workers: 1 }

test('an app whose optional server has an invalid port becomes ready with the other, and survives a second listen', async () => {
  const files = {
    'app.cjs': `
const http = require('node:http')
try {
  http.createServer(() => {}).listen(99999)
} catch (error) {
  console.log('optional:', error.code)
}
const server = http.createServer((request, response) => response.end('ok'))
server.listen(Number(process.env.PORT), '127.0.0.1', listenAgain)
function listenAgain() {
  try {
    server.listen(Number(process.env.PORT), '127.0.0.1')
  } catch (error) {
    console.log('again:', error.code)
  }
}
`,
  }
  await using server = await startServer({ files, settings })
  assert.equal((await request(server.url)).body, 'ok')
  await server.log(/optional: ERR_SOCKET_BAD_PORT/)
  await server.log(/again: ERR_SERVER_ALREADY_LISTEN/)
  const { pid } = await server.worker()
  assert.equal((await server.command('reload')).code, 0)
  assert.notEqual((await server.worker()).pid, pid)
})

test('an app that binds a UDP socket long after its entry is loaded, and listens then, does not exit before', async () => {
  const files = {
    'app.mjs': `
import dgram from 'node:dgram'
import http from 'node:http'
const socket = dgram.createSocket('udp4')
socket.on('message', (message, { port, address }) => socket.send(message, port, address))
setTimeout(() => {
  socket.bind(0, '127.0.0.1', () => {
    http.createServer((request, response) => response.end(String(socket.address().port)))
      .listen(process.env.PORT, '127.0.0.1')
  })
}, 100)
`,
  }
  await using server = await startServer({ files, settings })
  const port = Number((await request(server.url)).body)
  assert.ok(port > 0)
  const client = dgram.createSocket('udp4')
  client.send('echo', port, '127.0.0.1')
  const [message] = (await once(client, 'message')) as [Buffer]
  client.close()
  assert.equal(String(message), 'echo')
})
