// Requests and responses that take longer than `requestTimeout`, all at work.
import http from 'node:http'
import http2 from 'node:http2'
import { createGzip } from 'node:zlib'
import { currentRequest } from '../../../../src/index.ts'

const pause = (time) => new Promise((resolve) => setTimeout(resolve, time))

/** Writes four times, with so many milliseconds between. */
async function inParts(response, part, time) {
  for (let count = 0; count < 4; count++) {
    response.write(part)
    await pause(time)
  }
  response.end('end')
}

/** As middleware that compresses does: the head is written with the first part. */
function compress(response) {
  const gzip = createGzip()
  const write = response.write.bind(response)
  const end = response.end.bind(response)
  gzip.on('data', write).on('end', () => end())
  const begin = () => {
    if (response.headersSent) return
    response.setHeader('content-encoding', 'gzip')
    response.writeHead(200)
  }
  response.write = (part) => {
    begin()
    return gzip.write(part)
  }
  response.end = (part) => {
    begin()
    gzip.end(part)
  }
}

const routes = {
  '/compressed': (_, response) => {
    compress(response)
    return inParts(response, 'part', 1_250)
  },
  '/compressed-pipe': async (_, response) => {
    const gzip = createGzip()
    response.setHeader('content-encoding', 'gzip')
    gzip.pipe(response)
    await inParts(gzip, 'part', 1_250)
  },
  '/compressed-hang': (_, response) => {
    compress(response)
    response.setHeader('content-encoding', 'gzip')
    response.writeHead(200)
  },
  '/compressed-pipe-hang': (_, response) => {
    response.setHeader('content-encoding', 'gzip')
    createGzip().pipe(response)
  },
  '/events': (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    return inParts(response, 'data: 1\n\n', 1_250)
  },
  '/download': (_, response) => inParts(response, Buffer.alloc(10_000, 'x'), 1_250),
  '/quiet': async (_, response) => {
    response.flushHeaders()
    await pause(5_000)
    response.end('end')
  },
  // Node keeps the head until there is a first part.
  '/first-event-late': async (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    await pause(5_000)
    response.end('data: 1\n\n')
  },
  '/first-line-late': async (_, response) => {
    response.setHeader('content-type', 'application/x-ndjson')
    await pause(5_000)
    response.end('{}\n')
  },
  '/processing': async (_, response) => {
    for (let count = 0; count < 3; count++) {
      await pause(1_500)
      response.writeProcessing()
    }
    await pause(500)
    response.end('end')
  },
  '/processing-hang': (_, response) => response.writeProcessing(),
  '/hints-hang': async (_, response) => {
    await pause(1_500)
    response.writeEarlyHints({ link: '</style.css>; rel=preload' })
    await pause(2_500)
    response.end('end')
  },
  '/large': (_, response) => response.end(Buffer.alloc(60 * 1024 * 1024, 'x')),
  '/unread-download': (_, response) => response.end(Buffer.alloc(60 * 1024 * 1024, 'x')),
  '/upload': async (request, response) => {
    let length = 0
    for await (const chunk of request) length += chunk.length
    // More than is left if the time of the upload counts.
    await pause(1_000)
    response.end(String(length))
  },
  // Does not read all the time.
  '/slow-reader': async (request, response) => {
    let length = 0
    for await (const chunk of request) {
      length += chunk.length
      await pause(300)
    }
    response.end(String(length))
  },
  '/unread': () => {},
  '/hang': () => {},
  '/short': async (_, response) => {
    currentRequest()?.allow('1s')
    response.write('begun')
  },
  '/long': async (_, response) => {
    currentRequest()?.allow('20s')
    await pause(5_000)
    response.end('end')
  },
  '/idle': (_, response) => void response.write('begun'),
  '/idle-allowed': async (_, response) => {
    currentRequest()?.allow('unbounded')
    response.write('begun')
    await pause(4_000)
    response.end('end')
  },
}

http
  .createServer((request, response) => {
    const handle = routes[request.url]
    if (handle === undefined) return response.end('ok')
    Promise.resolve(handle(request, response)).catch(() => response.destroy())
  })
  .listen(process.env.PORT, process.env.HOST)

const streams = http2.createServer()
streams.on('stream', async (stream) => {
  for (let count = 0; count < 3; count++) {
    await pause(1_500)
    stream.additionalHeaders({ ':status': 102 })
  }
  await pause(500)
  stream.respond({ ':status': 200 })
  stream.end('end')
})
if (process.env.HTTP2_PORT !== undefined) streams.listen(process.env.HTTP2_PORT, process.env.HOST)
