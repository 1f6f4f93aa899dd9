import http from 'node:http'
import inspector from 'node:inspector'

/** An app with an open inspector, and a handler that stops at a breakpoint. */
inspector.open(0, '127.0.0.1')

function atBreakpoint(): void {
  // biome-ignore lint/suspicious/noDebugger: the test is about it.
  debugger
}

const server = http.createServer((request, response) => {
  if (request.url === '/inspector') return response.end(inspector.url())
  if (request.url === '/debug') atBreakpoint()
  return response.end(String(process.pid))
})
server.listen(Number(process.env.PORT), process.env.HOST)
