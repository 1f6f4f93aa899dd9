// The smallest app that is still one: what is measured is what stands around it.
import http from 'node:http'
import { threadId } from 'node:worker_threads'

const server = http.createServer((request, response) => {
  const body = request.url === '/who' ? `${process.pid}:${threadId}` : JSON.stringify({ hello: 'world' })
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  response.end(body)
})
server.listen(Number(process.env.PORT), '127.0.0.1')
