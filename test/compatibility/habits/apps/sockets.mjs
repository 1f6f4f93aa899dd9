// Looks for ports, opens private sockets, and tells what it got at `/`.
import dgram from 'node:dgram'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'

const port = Number(process.env.PORT)
const second = Number(process.env.SECOND_PORT)
const found = { pid: process.pid, probes: [], errors: [] }

async function listens(server, ...address) {
  server.listen(...address)
  await once(server, 'listening')
  return server.address().port
}

// As portfinder, get-port and detect-port do.
for (const host of ['127.0.0.1', '0.0.0.0', undefined, 'localhost']) {
  const probe = net.createServer()
  found.probes.push(await listens(probe, { port, host }).catch((error) => error.code))
  await new Promise((resolve) => probe.close(resolve))
}

const token = `${process.pid} ${Math.random()}`
const inner = http.createServer((_, response) => response.end(token))
found.private = await listens(inner, 0, '127.0.0.1')

const sockets = [dgram.createSocket('udp4'), dgram.createSocket('udp4'), dgram.createSocket('udp4')]
for (const socket of sockets.slice(0, 2)) await new Promise((resolve) => socket.bind(resolve))
await new Promise((resolve) => sockets[2].bind({ port: 0, address: '127.0.0.1' }, resolve))
found.udp = sockets.map((socket) => socket.address().port)

const main = http.createServer(async (_, response) => {
  const answer = await fetch(`http://127.0.0.1:${found.private}`, { headers: { connection: 'close' } })
  response.end(JSON.stringify({ ...found, isOwn: (await answer.text()) === token }))
})
await listens(main, { port, host: process.env.HOST, exclusive: true })
await listens(
  http.createServer((_, response) => response.end(String(process.pid))),
  { port: second, host: process.env.HOST, reusePort: true },
)
for (const address of [
  [port, '127.0.0.1'],
  [port],
  ['/nowhere/at/all.sock'],
  [Number(process.env.TAKEN_PORT), '127.0.0.1'],
]) {
  const server = http.createServer().on('error', ({ code, syscall, port }) => found.errors.push([code, syscall, port]))
  server.listen(...address)
}
