// A minimal app, so that the figures show the cost of the server around it.
import http from 'node:http'
import { threadId } from 'node:worker_threads'

const server = http.createServer((request, response) => {
  const body = request.url === '/who' ? `${process.pid}:${threadId}` : JSON.stringify({ hello: 'world' })
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  response.end(body)
})
server.listen(Number(process.env.PORT), '127.0.0.1')
