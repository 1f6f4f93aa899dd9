// Responses that the app breaks off itself, and clients that leave early or in time.
import http from 'node:http'
import { pipeline, Readable } from 'node:stream'

/** A source that fails in the middle. */
function failing() {
  let count = 0
  return new Readable({
    read() {
      if (count++ < 2) this.push('part')
      else setTimeout(() => this.destroy(new Error('the source failed')), 50)
    },
  })
}

const routes = {
  '/pipeline': (_, response) => pipeline(failing(), response, () => {}),
  '/destroy': (_, response) => {
    response.write('x')
    setTimeout(() => response.destroy(new Error('own')), 50)
  },
  '/destroy-early': (_, response) => void setTimeout(() => response.destroy(new Error('own')), 50),
  '/socket': (request, response) => {
    response.write('x')
    setTimeout(() => request.socket.destroy(), 50)
  },
  '/request': (request) => void setTimeout(() => request.destroy(), 50),
  '/whole': (_, response) => {
    response.writeHead(200, { 'content-length': 5 })
    response.write('hello')
  },
  '/part': (_, response) => {
    response.writeHead(200, { 'content-length': 6 })
    response.write('hello')
  },
  '/not-modified': (_, response) => response.writeHead(304).flushHeaders(),
  '/large': (_, response) => response.end(Buffer.alloc(60 * 1024 * 1024)),
  '/unanswered': () => {},
}

http
  .createServer((request, response) => routes[request.url](request, response))
  .listen(process.env.PORT, process.env.HOST)
