import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, get, type IncomingMessage, STATUS_CODES } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, it, type TestContext } from 'node:test'
import { CODES, type RequestErrorCode } from './codes.ts'
import { problemAnswer, problemOf, problemResponseText, problemType } from './problem.ts'

const codes = Object.entries(CODES)
  .filter(([, entry]) => entry.httpStatus !== null)
  .map(([code]) => code as RequestErrorCode)

async function fetchFrom(server: ReturnType<typeof createTcpServer>, t: TestContext): Promise<IncomingMessage> {
  server.listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const [response] = await once(get({ port, host: '127.0.0.1', agent: false }), 'response')
  return response
}

describe('problem', () => {
  it('the type is derived from the code', () => {
    assert.equal(problemType('PUNCTUAL_STALLED'), 'urn:punctual:error:stalled')
    assert.equal(problemType('PUNCTUAL_REQUEST_TIMEOUT'), 'urn:punctual:error:request-timeout')
  })

  it('reveals no code, setting or path', () => {
    for (const code of codes) {
      const { title, detail } = problemOf(code)
      assert.doesNotMatch(`${title} ${detail}`, /punctual|[Ww]orker|[Ss]tall|event loop|[a-z][A-Z]|\//, code)
    }
  })

  it('names the request only if it has an id', () => {
    assert.equal('instance' in problemOf('PUNCTUAL_STALLED'), false)
    assert.equal(problemOf('PUNCTUAL_STALLED', 'urn:request:7').instance, 'urn:request:7')
  })

  for (const code of codes) {
    const { httpStatus, retryAfter } = CODES[code]
    it(`${code} arrives over HTTP as problem+json, with Retry-After if it has one`, async (t) => {
      const { status, headers, body } = problemAnswer(code, 'r1')
      const response = await fetchFrom(
        createServer((_, answer) => answer.writeHead(status, headers).end(body)),
        t,
      )
      assert.equal(response.statusCode, httpStatus)
      assert.equal(response.headers['content-type'], 'application/problem+json')
      assert.equal(response.headers['retry-after'], retryAfter?.toString())
      assert.deepEqual(JSON.parse(await text(response)), problemOf(code, 'r1'))
    })

    it(`${code} as raw text is a complete HTTP response`, async (t) => {
      const response = await fetchFrom(
        createTcpServer((socket) => socket.once('data', () => socket.end(problemResponseText(code)))),
        t,
      )
      assert.equal(response.statusCode, httpStatus)
      assert.equal(response.statusMessage, STATUS_CODES[httpStatus])
      assert.equal(response.headers.connection, 'close')
      assert.deepEqual(JSON.parse(await text(response)), problemOf(code))
    })
  }

  it('the response to HEAD has no body', () => {
    const whole = problemResponseText('PUNCTUAL_WORKER_LOST')
    const head = problemResponseText('PUNCTUAL_WORKER_LOST', { head: true })
    assert.ok(head.endsWith('\r\n\r\n'))
    assert.ok(whole.startsWith(head))
    assert.ok(whole.length > head.length)
  })
})
