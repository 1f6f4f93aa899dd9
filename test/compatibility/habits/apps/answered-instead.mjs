// Handlers that are answered in place of; what they and observers of their responses see is logged.
import { subscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import http from 'node:http'
import { finished, pipeline, Readable, Writable } from 'node:stream'
import express from 'express'
import Fastify from 'fastify'
import { toNodeHandler } from 'srvx/node'

const log = (event, fields) => console.log(JSON.stringify({ event, msg: event, ...fields }))
const pause = (time) => new Promise((resolve) => setTimeout(resolve, time))

subscribe('http.server.response.finish', ({ response }) =>
  log('channel', { url: response.req.url, status: response.statusCode }),
)

/** A source that counts what is read. */
function endless() {
  const source = new Readable({
    read() {
      source.count++
      this.push(Buffer.alloc(65_536))
    },
  })
  source.count = 0
  return source
}

/** Logs when the signal that a framework gives its handlers is aborted. */
const watch = (framework, signal) => signal.addEventListener('abort', () => log('aborted', { framework }))
const never = () => new Promise(() => {})

const fastify = Fastify()
fastify.get('/fastify', (request) => {
  watch('fastify', request.signal)
  return never()
})
await fastify.ready()
const srvx = toNodeHandler((request) => {
  watch('srvx', request.signal)
  return never()
})

const files = express()
const sendFile = (response, name) =>
  response.sendFile(import.meta.filename, (error) => log('sent-file', { name, code: error?.code ?? null }))
files.get('/files/at-close', (_, response) => response.on('close', () => sendFile(response, 'at-close')))
files.get('/files/later', async (_, response) => {
  await once(response, 'close')
  await pause(200)
  sendFile(response, 'later')
})
files.get('/files/reported', async (_, response) => {
  await once(response, 'close')
  await pause(200)
  response.sendFile(import.meta.filename)
})
files.use((error, _request, response, _next) => {
  log('failed', { url: '/files', error: String(error) })
  response.end()
})

/** How a promise ends: the code of its error. */
const codeOf = (promise) =>
  promise.then(
    () => null,
    (error) => error.code ?? error.name,
  )

const routes = {
  '/fastify': (response) => fastify.routing(response.req, response),
  '/srvx': (response) => srvx(response.req, response),
  '/files/at-close': (response) => files(response.req, response),
  '/files/later': (response) => files(response.req, response),
  '/files/reported': (response) => files(response.req, response),
  '/events': async (response) => {
    const order = []
    for (const event of ['aborted', 'error', 'close', 'end'])
      response.req.on(event, () => order.push(`request ${event}`))
    for (const event of ['close', 'finish']) response.on(event, () => order.push(`response ${event}`))
    await once(response, 'finish')
    await pause(200)
    log('order', { order, url: response.req.url })
  },
  '/upload': (response) => routes['/events'](response),
  '/finished': async (response) => {
    const waiting = new Promise((resolve) => finished(response, (error) => resolve(error?.code ?? null)))
    await once(response, 'close')
    const late = new Promise((resolve) => finished(response, (error) => resolve(error?.code ?? null)))
    log('finished', { waiting: await waiting, late: await late, needDrain: response.writableNeedDrain })
  },
  '/web-stream': async (response) => {
    const writer = Writable.toWeb(response).getWriter()
    const closed = codeOf(writer.closed)
    const piped = codeOf(new ReadableStream({ pull: () => never() }).pipeTo(Writable.toWeb(response)))
    await once(response, 'close')
    const [written, ended] = await Promise.all([codeOf(writer.write('x')), codeOf(writer.close())])
    log('web-stream', { closed: await closed, piped: await piped, written, ended })
  },
  '/hang': () => {},
  '/spin': () => {
    for (;;);
  },
  '/head': (response) => {
    response.writeHead(201, { 'x-given': 'yes', etag: '"1"', 'content-type': 'text/html', 'content-length': 9 })
  },
  '/late': async (response) => {
    await once(response, 'close')
    response.statusCode = 200
    response.setHeader('x-late', '1')
    const error = (name) => (thrown) => log('callback', { name, code: thrown?.code ?? null })
    const written = response.write('x', error('write'))
    response.write('x', 'utf8', error('write-encoding'))
    response.end('x', error('end'))
    response.end(error('end-only'))
    log('late', { written, destroyed: response.destroyed, status: response.statusCode })
  },
  '/before-close': async (response) => {
    // At the deadline, but before the response is closed.
    const code = await new Promise((resolve) => {
      const timer = setInterval(() => {
        if (!response.destroyed) return
        clearInterval(timer)
        response.write('x', (error) => resolve(error?.code))
      }, 1)
    })
    log('callback', { name: 'before-close', code })
  },
  '/pipe': async (response) => {
    await once(response, 'close')
    const source = endless()
    source.pipe(response)
    await pause(200)
    log('read', { name: 'pipe', count: source.count })
    source.destroy()
  },
  '/pipeline': async (response) => {
    await once(response, 'close')
    const source = endless()
    try {
      pipeline(source, response, (error) => log('pipeline', { failed: error !== undefined }))
    } catch {
      log('pipeline', { failed: true })
    }
    await pause(200)
    log('read', { name: 'pipeline', count: source.count })
    source.destroy()
  },
}

http
  .createServer((request, response) => {
    for (const event of ['finish', 'close'])
      response.on(event, () => log('observed', { on: event, url: request.url, status: response.statusCode }))
    response.setHeader('access-control-allow-origin', 'https://example.com')
    response.setHeader('vary', 'Origin')
    response.setHeader('set-cookie', ['a=1', 'b=2'])
    response.setHeader('x-request-id', 'abc')
    response.setHeader('content-encoding', 'gzip')
    response.setHeader('content-security-policy', "default-src 'self'")
    // As middleware that compresses bodies, or saves sessions, does.
    response.end = () => response
    Promise.resolve()
      .then(() => routes[request.url](response))
      .catch((error) => log('failed', { url: request.url, error: String(error) }))
  })
  .listen(process.env.PORT, process.env.HOST)
