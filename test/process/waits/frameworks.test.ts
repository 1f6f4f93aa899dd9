import assert from 'node:assert/strict'
import http from 'node:http'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { pathToFileURL } from 'node:url'
import WebSocket from 'ws'
import { type Outcome, request } from '../support/client.ts'
import type { LogLine } from '../support/log-lines.ts'
import { startServer } from '../support/server.ts'
import { within } from '../support/until.ts'

/** URL of a module of Punctual, for an app in another directory. */
function punctual(path: string): string {
  return pathToFileURL(join(import.meta.dirname, '../../../src', path)).href
}

/** A wait that times out, and an open breaker. */
const FAILING = `
import { BreakerOpenError } from '${punctual('resilience/breaker.ts')}'
import { withTimeout } from '${punctual('resilience/with-timeout.ts')}'
const never = () => new Promise(() => {})
const expire = () => withTimeout('prices', '20ms', never)
const trip = () => { throw new BreakerOpenError('partner', 4200, undefined) }
`

interface App {
  readonly name: string
  /** Its 404 handler and its error handler hang. */
  readonly plain: string
  /** The same routes with the adapter; null if there is none. */
  readonly adapted: string | null
}

const APPS: readonly App[] = [
  {
    name: 'node:http',
    plain: `
import http from 'node:http'
export default async (request, response) => {
  if (request.url === '/users/7') return response.end('7')
  if (request.url === '/stream') return response.write('first')
  if (request.url === '/body') {
    // Its client disconnects: without the catch, that would end the process, as without Punctual.
    try { for await (const chunk of request) void chunk } catch {}
    response.end('read')
  }
}`,
    adapted: null,
  },
  {
    name: 'Express',
    plain: `
import express from 'express'
const users = express.Router().get('/:id', (request, response) => response.send(request.params.id))
export default express()
  .use('/users', users)
  .get('/never/:id', () => {})
  .get('/error', () => { throw new Error('x') })
  .get('/stream', (_, response) => response.write('first'))
  .post('/body', express.text(), (_, response) => response.send('read'))
  .use(() => {})
  .use((error, request, response, next) => {})
`,
    adapted: `
import express from 'express'
import { problems, punctual } from '${punctual('adapters/express.ts')}'
import { currentRequest } from '${punctual('http/current-request.ts')}'
const users = express.Router().get('/:id', (request, response) => response.send(currentRequest().route))
export default express()
  .use(punctual())
  .use('/users', users)
  .get('/never/:id', () => {})
  .get('/expire', expire)
  .get('/breaker', trip)
  .get('/own', () => { throw new Error('own') })
  .use(problems())
  .use((error, request, response, next) => response.status(418).send(error.message))
`,
  },
  {
    name: 'Fastify',
    plain: `
import fastify from 'fastify'
const app = fastify()
app.register(async (scope) => scope.get('/:id', async (request) => request.params.id), { prefix: '/users' })
app.get('/never/:id', () => new Promise(() => {}))
app.get('/error', async () => { throw new Error('x') })
app.get('/stream', (_, reply) => { reply.hijack(); reply.raw.write('first') })
app.post('/body', async () => 'read')
app.setNotFoundHandler(() => {})
app.setErrorHandler(() => new Promise(() => {}))
export default app
`,
    adapted: `
import fastify from 'fastify'
import { punctual } from '${punctual('adapters/fastify.ts')}'
import { currentRequest } from '${punctual('http/current-request.ts')}'
const app = fastify()
app.register(punctual())
app.register(async (scope) => scope.get('/:id', async () => currentRequest().route), { prefix: '/users' })
app.get('/never/:id', () => new Promise(() => {}))
app.get('/expire', expire)
app.get('/breaker', async () => trip())
app.get('/own', async () => { throw Object.assign(new Error('own'), { statusCode: 418 }) })
export default app
`,
  },
  {
    name: 'Hono',
    plain: `
import { Hono } from 'hono'
const users = new Hono().get('/:id', (context) => context.text(context.req.param('id')))
const stream = () => new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode('first')) })
const app = new Hono()
  .route('/users', users)
  .get('/never/:id', () => new Promise(() => {}))
  .get('/error', () => { throw new Error('x') })
  .get('/stream', () => new Response(stream()))
  .post('/body', async (context) => { await context.req.text(); return context.text('read') })
app.notFound(() => new Promise(() => {}))
app.onError(() => new Promise(() => {}))
export default app
`,
    adapted: `
import { Hono } from 'hono'
import { problems, punctual } from '${punctual('adapters/hono.ts')}'
import { currentRequest } from '${punctual('http/current-request.ts')}'
const users = new Hono()
  .use(async (context, next) => { await next() })
  .get('/:id', (context) => context.text(currentRequest().route))
const app = new Hono()
app.use(punctual())
app.route('/users', users)
app.get('/never/:id', () => new Promise(() => {}))
app.get('/expire', expire)
app.get('/breaker', trip)
app.get('/own', () => { throw new Error('own') })
app.onError(problems((error, context) => context.text(error.message, 418)))
export default app
`,
  },
  {
    name: 'Koa',
    plain: `
import Koa from 'koa'
const never = () => new Promise(() => {})
export default new Koa()
  .use((context, next) => next().catch(never))
  .use(async (context) => {
    if (context.path === '/users/7') context.body = '7'
    else if (context.path === '/error') throw new Error('x')
    else if (context.path === '/stream') {
      context.respond = false
      context.res.writeHead(200).write('first')
    } else if (context.path === '/body') {
      for await (const chunk of context.req) void chunk
      context.body = 'read'
    } else await never()
  })
`,
    adapted: `
import Koa from 'koa'
import { punctual } from '${punctual('adapters/koa.ts')}'
import { currentRequest } from '${punctual('http/current-request.ts')}'
// Like @koa/router, which sets the pattern on the context before it calls the handler.
const route = (pattern, path, handler) => async (context, next) => {
  if (!path.test(context.path)) return next()
  context._matchedRoute = pattern
  context.body = await handler()
}
export default new Koa()
  .use(punctual())
  .use(route('/users/:id', /^\\/users\\//, () => currentRequest().route))
  .use(route('/never/:id', /^\\/never\\//, never))
  .use(route('/expire', /^\\/expire$/, expire))
  .use(route('/breaker', /^\\/breaker$/, trip))
  .use(route('/own', /^\\/own$/, () => { throw Object.assign(new Error('own'), { status: 418, expose: true }) }))
`,
  },
]

const settings = {
  workers: 1,
  stallAction: 'report',
  requestTimeout: '500ms',
  streamIdleTimeout: '500ms',
  accessLog: 'all',
}

/** Sends half a body. */
function halfBody(url: string): Promise<Outcome['status'] | string> {
  return new Promise((resolve) => {
    const outgoing = http.request(url, {
      method: 'POST',
      headers: { 'content-type': 'text/plain', 'content-length': 10 },
      agent: false,
    })
    outgoing.on('error', (error) => resolve(error.message))
    outgoing.on('response', (response) => {
      resolve(response.statusCode ?? 0)
      outgoing.destroy()
    })
    outgoing.write('half')
  })
}

function isExpired({ status, headers, body }: Outcome): void {
  assert.equal(status, 503)
  assert.equal(headers['content-type'], 'application/problem+json')
  assert.equal(headers['retry-after'], '1')
  assert.equal(JSON.parse(body).type, 'urn:punctual:error:request-timeout')
}

/** Matches a line of the access log. */
const ended =
  (method: string, route: string, more: Readonly<Record<string, unknown>>) =>
  (line: LogLine): boolean =>
    Object.entries({ event: 'request', method, route, ...more }).every(([field, value]) => line[field] === value)

describe('an unchanged app', { concurrency: 2 }, () => {
  for (const { name, plain } of APPS) {
    it(`on ${name} is answered at the deadline, whichever part hangs`, async () => {
      await using server = await startServer({ files: { 'app.js': plain }, settings })
      assert.equal((await request(`${server.url}/users/7`)).body, '7')
      const [never, unknown, error, body, stream] = await Promise.all([
        request(`${server.url}/never/7`),
        request(`${server.url}/nowhere`),
        request(`${server.url}/error`),
        within('the answer to half a body', halfBody(`${server.url}/body`)),
        request(`${server.url}/stream`),
      ])
      for (const outcome of [never, unknown, error]) isExpired(outcome)
      assert.equal(body, 408)
      assert.deepEqual([stream.kind, stream.status, stream.body], ['cut-short', 200, 'first'])
      await server.log(ended('POST', '/body', { status: 408, outcome: 'timed-out' }))
      await server.log(ended('GET', '/nowhere', { status: 503, outcome: 'timed-out' }))
      await server.log(ended('GET', '/stream', { status: 200, outcome: 'timed-out', truncated: true }))
      // Only Express leaves the pattern on the request.
      const users = name === 'Express' ? '/users/:id' : '/users/7'
      await server.log(ended('GET', users, { status: 200, outcome: 'completed' }))
    })
  }

  const failing: Readonly<Record<string, string>> = {
    Express: `import express from 'express'\nexport default express().get('/', expire)`,
    Fastify: `import fastify from 'fastify'\nconst app = fastify()\napp.get('/', expire)\nexport default app`,
    Koa: `import Koa from 'koa'\nexport default new Koa().use(expire).on('error', () => {})`,
  }
  for (const [name, app] of Object.entries(failing)) {
    it(`on ${name} responds 503 with Retry-After to a wait that timed out`, async () => {
      await using server = await startServer({ files: { 'app.js': `${FAILING}${app}` }, settings })
      const { status, headers } = await request(server.url)
      assert.deepEqual([status, headers['retry-after']], [503, '1'])
      const { waits } = await server.log(ended('GET', '/', { status: 503, outcome: 'timed-out' }))
      assert.partialDeepStrictEqual(waits, [{ name: 'prices', outcome: 'timed-out' }])
    })
  }
})

describe('an app with its adapter', { concurrency: 2 }, () => {
  for (const { name, adapted } of APPS) {
    if (adapted === null) continue
    it(`on ${name} knows the patterns of its routes, and responds to Punctual's errors with problems`, async () => {
      await using server = await startServer({ files: { 'app.js': `${FAILING}${adapted}` }, settings })
      assert.equal((await request(`${server.url}/users/7`)).body, '/users/:id')
      const headers = { 'x-request-id': 'abc' }
      const [never, unknown, expired, tripped, own] = await Promise.all([
        request(`${server.url}/never/7`),
        request(`${server.url}/nowhere`),
        request(`${server.url}/expire`, { headers }),
        request(`${server.url}/breaker`),
        request(`${server.url}/own`),
      ])
      isExpired(never)
      assert.equal(unknown.status, 404)
      assert.equal(expired.status, 503)
      assert.equal(expired.headers['content-type'], 'application/problem+json')
      const { type, instance } = JSON.parse(expired.body)
      assert.deepEqual([type, instance], ['urn:punctual:error:wait-timeout', 'abc'])
      assert.deepEqual([tripped.status, tripped.headers['retry-after']], [503, '5'])
      assert.equal(JSON.parse(tripped.body).type, 'urn:punctual:error:breaker-open')
      // The app's own errors are unchanged.
      assert.equal(own.status, 418)
      assert.match(own.body, /own/)
      await server.log(ended('GET', '/users/:id', { status: 200 }))
      await server.log(ended('GET', '/never/:id', { status: 503, outcome: 'timed-out' }))
      await server.log(ended('GET', '/nowhere', { status: 404 }))
    })
  }
})

it('a WebSocket is exempt from the deadline of requests', async () => {
  await using server = await startServer({
    files: {
      'app.js': `
import http from 'node:http'
import { WebSocketServer } from 'ws'
const server = http.createServer(() => {})
new WebSocketServer({ server }).on('connection', (socket) => socket.on('message', (text) => socket.send(text)))
server.listen(process.env.PORT, process.env.HOST)
`,
    },
    settings: { ...settings, requestTimeout: '300ms' },
  })
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}/`)
  await within('the WebSocket to open', new Promise((resolve) => socket.once('open', resolve)))
  // Started after the WebSocket and answered at the deadline, so that of the WebSocket has passed.
  assert.equal((await request(server.url)).status, 503)
  assert.equal((await request(server.url)).status, 503)
  const echoed = within('the echo', new Promise<Buffer>((resolve) => socket.once('message', resolve as never)))
  socket.send('hello')
  assert.equal(String(await echoed), 'hello')
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.close()
  await within('the WebSocket to close', closed)
})
