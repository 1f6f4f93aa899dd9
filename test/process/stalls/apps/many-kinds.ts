import { execSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'

/**
 * An app with all kinds of connections, some of which cannot be answered when the worker is killed.
 */
const server = http.createServer((request, response) => {
  if (request.url === '/block') execSync('sleep 60')
  if (request.url === '/half') response.write('the first half')
  if (request.url === '/ok') response.end('ok')
})
server.on('upgrade', (_request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n')
})
server.listen(Number(process.env.PORT), process.env.HOST)

const { TLS_PORT, H2_PORT, TLS_KEY, TLS_CERTIFICATE } = process.env
if (TLS_KEY !== undefined && TLS_CERTIFICATE !== undefined) {
  const credentials = { key: readFileSync(TLS_KEY), cert: readFileSync(TLS_CERTIFICATE) }
  https.createServer(credentials, () => {}).listen(Number(TLS_PORT), process.env.HOST)
}
http2.createServer(() => {}).listen(Number(H2_PORT), process.env.HOST)
