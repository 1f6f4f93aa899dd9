// A gRPC server on GRPC_PORT, a server of `stream` events on STREAM_PORT, and one of the
// compatibility API on PORT. GRPC has the packages.
import http2 from 'node:http2'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const load = createRequire(`${process.env.GRPC}/`)
const grpc = load('@grpc/grpc-js')
const definition = load('@grpc/proto-loader').loadSync(fileURLToPath(new URL('call.proto', import.meta.url)))
const { Calls } = grpc.loadPackageDefinition(definition).test

function spin() {
  for (;;);
}

/** What every kind of server does on request. */
function act(text, answer, fail) {
  if (text === 'spin') spin()
  else if (text === 'hang') cancelled.push(answer)
  else if (text === 'late') setTimeout(() => answer('late'), 1_500)
  else if (text === 'slow') setTimeout(() => answer('slow'), 700)
  else if (text === 'fail') fail(new Error('planted'))
  else answer(text)
}
// Kept, and called after the deadline.
const cancelled = []
setInterval(() => {
  if (cancelled.length === 0 || !globalThis.answersLate) return
  // Only those before: a later test holds calls, too.
  globalThis.answersLate = false
  for (const answer of cancelled.splice(0)) answer('too late')
}, 100)

const server = new grpc.Server()
server.addService(Calls.service, {
  Unary: (call, done) => {
    if (call.request.text === 'answer-late') globalThis.answersLate = true
    act(call.request.text, (text) => done(null, { text }), done)
  },
  Many: (call) => {
    call.write({ text: 'first' })
    act(
      call.request.text,
      (text) => {
        call.write({ text })
        call.end()
      },
      (error) => call.destroy(error),
    )
  },
  Upload: (call, done) => {
    let count = 0
    call.on('data', ({ text }) => {
      count++
      if (text === 'spin') spin()
    })
    call.on('end', () => done(null, { text: String(count) }))
  },
  Chat: (call) => {
    call.on('data', ({ text }) =>
      act(
        text,
        (answer) => call.write({ text: answer }),
        (error) => call.destroy(error),
      ),
    )
    call.on('end', () => call.end())
  },
})
server.bindAsync(`127.0.0.1:${process.env.GRPC_PORT}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error
  const streams = http2.createServer()
  streams.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    const answer = (text) => {
      if (!stream.headersSent) stream.respond({ ':status': 200 })
      stream.end(text)
    }
    const [, text, ...rest] = headers[':path'].split('/')
    const begin = () => {
      if (rest.includes('begun')) {
        stream.respond({ ':status': 200 })
        stream.write('first')
      }
      act(text, answer, () => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR))
    }
    if (!rest.includes('body')) return begin()
    stream.resume()
    stream.on('end', begin)
  })
  streams.listen(process.env.STREAM_PORT, '127.0.0.1', () => {
    http2
      .createServer((request, response) => {
        act(
          request.url.slice(1),
          (text) => response.end(text),
          () => response.stream.destroy(new Error('planted')),
        )
      })
      .listen(process.env.PORT, '127.0.0.1')
  })
})
