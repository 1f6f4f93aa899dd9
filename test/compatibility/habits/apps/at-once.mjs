// Uses a server in the statement after `listen`, and shows at `/` what it found.
import { once } from 'node:events'
import http from 'node:http'

const port = process.env.PORT
const found = { closed: { listening: [], events: 0 } }

const first = http.createServer().listen(port, () => found.closed.events++)
found.closed.port = first.address().port
found.closed.listening.push(first.listening)
first.close((error) => {
  found.closed.error = error?.code ?? null
})
found.closed.listening.push(first.listening)
await once(first, 'close')

const server = http.createServer((_, response) => response.end(JSON.stringify(found))).listen(port)
found.port = server.address().port
try {
  server.listen(port)
} catch ({ code }) {
  found.second = code
}
