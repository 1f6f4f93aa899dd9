import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { type Outcome as Answer, type RequestOptions, request } from '../../test/process/support/client.ts'
import type { Outcome } from '../diagnostics/outcomes.ts'
import { patchServers } from '../patches/http-server.ts'
import { isTimeout } from '../resilience/abort-reason.ts'
import { monotonicNow, wallClock } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { currentWaits } from '../resilience/wait-scope.ts'
import { withDeadline } from '../resilience/with-deadline.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import { currentRequest } from './current-request.ts'
import { rawResponse } from './raw-response.ts'
import { timeOutRequest } from './respond-instead.ts'
import type { RequestScope } from './scope.ts'
import { outcomeOf, Traffic } from './traffic.ts'

// The prototypes are patched once per process, as in a worker.
const traffic = new Traffic(undefined, { requestTimeout: ms(1_000), maxProxyQueueTime: ms(10_000) })
const answer = rawResponse('PUNCTUAL_REQUEST_TIMEOUT')
traffic.deadlines.onTimeout = (scope) => timeOutRequest(traffic, scope, answer)
const ended: RequestScope[] = []
traffic.onEnded = (scope) => void ended.push(scope)
patchServers(traffic)

let listener: http.RequestListener = () => {}
const server = http.createServer((request, response) => listener(request, response)).listen(0, '127.0.0.1')
await once(server, 'listening')
const { port } = server.address() as AddressInfo
after(() => {
  server.close()
  server.closeAllConnections()
})

const ask = (options: RequestOptions = {}): Promise<Answer> => request(`http://127.0.0.1:${port}/`, options)

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 2_000 && !condition(); turn++) await new Promise((resolve) => setTimeout(resolve, 1))
  assert.ok(condition(), what)
}

const never = (): Promise<never> => new Promise(() => {})
const lastOutcome = (): Outcome | undefined => ended.at(-1) && outcomeOf(ended.at(-1) as RequestScope)

test('a request that is not answered gets a 503 at its deadline, and is counted as timed out', async () => {
  listener = () => {}
  const before = traffic.table.outcomes()['timed-out']
  const { status, headers, body } = await ask()
  assert.equal(status, 503)
  assert.equal(headers['content-type'], 'application/problem+json')
  assert.equal(headers['retry-after'], '1')
  assert.equal(JSON.parse(body).type, 'urn:punctual:error:request-timeout')
  await until('it to end', () => traffic.inFlight.size === 0)
  assert.equal(lastOutcome(), 'timed-out')
  assert.equal(traffic.table.outcomes()['timed-out'], before + 1)
})

test('so does one whose body the app does not read', async () => {
  listener = () => {}
  const client = net.connect(port, '127.0.0.1')
  client.write('POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nhalf')
  let text = ''
  for await (const chunk of client) text += chunk
  assert.match(text, /^HTTP\/1\.1 503 /)
  await until('it to end', () => traffic.inFlight.size === 0)
})

test('a wait gets the remaining time minus a reserve, so that the handler responds in time itself', async () => {
  listener = async (_, response) => {
    try {
      await withTimeout('partner', '10s', never)
    } catch (error) {
      response.writeHead(504).end(String(isTimeout(error)))
    }
  }
  const { status, body } = await ask()
  assert.equal(status, 504)
  assert.equal(body, 'true')
  assert.equal(lastOutcome(), 'timed-out')
})

test('at the deadline the signal of the request is aborted', async () => {
  const aborted = Promise.withResolvers<unknown>()
  listener = () => {
    const current = currentRequest()
    current?.signal.addEventListener('abort', () => aborted.resolve(current.signal.reason))
  }
  const answered = ask()
  assert.ok(isTimeout(await aborted.promise))
  assert.equal((await answered).status, 503)
})

test('requests that are due together are all answered, even if the code of one is interrupted', async () => {
  const { onTimeout } = traffic.deadlines
  let broken = 0
  traffic.deadlines.onTimeout = (scope) => {
    // As if its code had been interrupted: nothing after it ran.
    if (broken++ === 0) return
    onTimeout(scope)
  }
  listener = () => {}
  const answers = await Promise.all(Array.from({ length: 5 }, () => ask()))
  traffic.deadlines.onTimeout = onTimeout
  assert.deepEqual(
    answers.map(({ status }) => status),
    Array(5).fill(503),
  )
  assert.ok(broken > 5, 'the first was asked again')
})

test('a fallback makes it degraded, not timed out', async () => {
  listener = async (_, response) => {
    response.end(await withTimeout('rates', '10ms', never, { fallback: 'old' }))
  }
  assert.equal((await ask()).body, 'old')
  assert.equal(lastOutcome(), 'degraded')
})

test('a caller may shorten the deadline, but not extend it', async () => {
  let allowed = 0
  listener = (_, response) => {
    allowed = currentRequest()?.remaining ?? Number.NaN
    response.end()
  }
  await ask({ headers: { 'request-timeout': '50' } })
  assert.ok(allowed > 0 && allowed <= 50, String(allowed))
  await ask({ headers: { 'grpc-timeout': '1H' } })
  assert.ok(allowed > 50 && allowed <= 1_000, String(allowed))
})

test('the time in the queue of a proxy counts, up to maxProxyQueueTime', async () => {
  let age = 0
  listener = (_, response) => {
    age = traffic.inFlight.oldest?.age ?? Number.NaN
    response.end()
  }
  await ask({ headers: { 'x-request-start': String(wallClock().getTime() - 100) } })
  assert.ok(age >= 100 && age < 5_000, String(age))
  const { status } = await ask({ headers: { 'x-request-start': String(wallClock().getTime() - 3_600_000) } })
  assert.ok(age >= 10_000 && age < 20_000, String(age))
  assert.equal(status, 200, 'a handler that answers at once is in time all the same')
})

test('the time for which the loop was blocked counts for requests that are read right after', async () => {
  const nothing = { rawHeaders: [] } as unknown as http.IncomingMessage
  traffic.deadlines.loopTurned(80, Number.POSITIVE_INFINITY)
  assert.equal(traffic.deadlines.acceptedAt(nothing, 1_000), 920)
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(traffic.deadlines.acceptedAt(nothing, 1_000), 1_000)
})

test('a route can extend its deadline', async () => {
  listener = (_, response) => {
    currentRequest()?.allow('10s')
    setTimeout(() => response.end('late'), 1_200)
  }
  assert.equal((await ask()).body, 'late')
  listener = () => currentRequest()?.allow('20ms')
  assert.equal((await ask()).status, 503)
})

test('a route that has extended its deadline is not interrupted earlier', async () => {
  let cutAt: number | undefined
  listener = (_, response) => {
    const scope = traffic.inFlight.oldest
    currentRequest()?.allow('10m')
    cutAt = traffic.table.interruptAtOf(scope?.connection?.slot ?? -1)
    assert.equal(cutAt, scope?.deadline)
    response.end()
  }
  assert.equal((await ask()).status, 200)
  assert.ok((cutAt ?? 0) > monotonicNow() + 300_000)
})

test('requests pipelined behind it fail, and do not count as disconnected', async () => {
  listener = () => {}
  ended.length = 0
  const client = net.connect(port, '127.0.0.1')
  client.write('GET /1 HTTP/1.1\r\nhost: x\r\n\r\nGET /2 HTTP/1.1\r\nhost: x\r\n\r\n')
  await until('the second to be read', () => traffic.inFlight.size === 2)
  // It has more time.
  const [, second] = traffic.inFlight
  second?.allow('10s')
  let text = ''
  for await (const chunk of client) text += chunk
  assert.match(text, /^HTTP\/1\.1 503 /)
  await until('both to end', () => ended.length === 2)
  assert.deepEqual(
    ended.map(({ request }) => request.url),
    ['/1', '/2'],
  )
  assert.deepEqual(ended.map(outcomeOf), ['timed-out', 'failed'])
})

test('a response that has begun is truncated at the deadline that its route has chosen', async () => {
  listener = (_, response) => {
    currentRequest()?.allow('500ms')
    response.write('first')
  }
  assert.equal((await ask()).kind, 'cut-short')
  await until('it to end', () => traffic.inFlight.size === 0)
  assert.equal(lastOutcome(), 'timed-out')
  assert.equal(ended.at(-1)?.begun, true)
})

test('a client that disconnects aborts the waits of its request, and that is no timeout', async () => {
  const reason = Promise.withResolvers<unknown>()
  listener = () => void withTimeout('query', '10s', never).catch(reason.resolve)
  const client = net.connect(port, '127.0.0.1')
  client.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  await until('it to arrive', () => traffic.inFlight.size === 1)
  client.destroy()
  const thrown = await reason.promise
  assert.equal((thrown as { code?: string }).code, 'PUNCTUAL_CLIENT_DISCONNECTED')
  assert.equal(isTimeout(thrown), false)
  await until('it to end', () => traffic.inFlight.size === 0)
  assert.equal(lastOutcome(), 'client-disconnected')
})

test('work with its own scope still belongs to the request', async () => {
  listener = (_, response) => {
    void withDeadline('job', '1s', async () => {
      await null
      response.end(`${currentRequest()?.id} ${currentWaits() === traffic.inFlight.oldest}`)
    })
  }
  assert.equal((await ask({ headers: { 'x-request-id': 'one' } })).body, 'one false')
})

test('failures and timeouts are distinguished', async () => {
  listener = (_, response) => response.writeHead(500).end()
  await ask()
  assert.equal(lastOutcome(), 'failed')
  listener = (_, response) => response.writeHead(404).end()
  await ask()
  assert.equal(lastOutcome(), 'completed')
})
