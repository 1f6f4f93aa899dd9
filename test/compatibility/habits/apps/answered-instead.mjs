// Handlers that are answered in place of; what they and observers of their responses see is logged.
import { subscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import http from 'node:http'
import { pipeline, Readable } from 'node:stream'

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

const routes = {
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
        if (!response.headersSent) return
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
    Promise.resolve(routes[request.url](response)).catch((error) =>
      log('failed', { url: request.url, error: String(error) }),
    )
  })
  .listen(process.env.PORT, process.env.HOST)
