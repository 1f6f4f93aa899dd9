import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { after, before, describe, it } from 'node:test'
import Fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import { Hono } from 'hono'
import { setCookie } from 'hono/cookie'
import { cors } from 'hono/cors'
import { deferRoutes as deferHandler } from '../routes/defer-handler.ts'
import { deferRoutes as deferExpress } from './express.ts'
import { deferRoutes as deferFastify } from './fastify.ts'
import { deferRoutes as deferHono } from './hono.ts'

// Express has no types.
const express = createRequire(import.meta.url)('express')
interface ExpressRequest extends http.IncomingMessage {
  readonly baseUrl: string
  readonly url: string
  readonly originalUrl: string
  readonly body: unknown
}
interface ExpressResponse extends http.ServerResponse {
  status(code: number): ExpressResponse
  send(body: unknown): void
}

const quiet = { onEvent: () => {} }
const fails = { ...quiet, retryDelay: '1h', maxRetryDelay: '1h' } as const

describe('deferred routes of Fastify', () => {
  const seen: string[] = []
  let loads = 0
  const plugin: FastifyPluginAsync = async (app) => {
    app.addHook('preHandler', async () => void seen.push('inner'))
    app.addHook('onReady', async () => void seen.push('ready'))
    app.decorateRequest('who', '')
    app.setNotFoundHandler((_, reply) => reply.code(404).send('inner not found'))
    await app.register(
      async (nested) => {
        nested.get('/deep', async (request) => `${request.routeOptions.url} ${Reflect.get(nested, 'shared')}`)
      },
      { prefix: '/nested' },
    )
    app.get('/', async () => 'root')
    app.get('/:id', { schema: { params: { $ref: 'id#' } } }, async (request) => request.params)
    app.post('/', async (request) => request.body)
    app.get('/teapot', async () => {
      throw Object.assign(new Error('short and stout'), { statusCode: 418 })
    })
  }
  let app: FastifyInstance

  before(async () => {
    app = Fastify()
    app.addHook('onRequest', async (request) => void seen.push(`outer ${request.url}`))
    app.addSchema({ $id: 'id', type: 'object', properties: { id: { type: 'integer' } }, required: ['id'] })
    app.decorate('shared', 'decorated')
    app.setErrorHandler((error: Error & { statusCode?: number }, _, reply) => {
      return reply.code(error.statusCode ?? 500).send(`handled: ${error.message}`)
    })
    const load = async (): Promise<{ default: FastifyPluginAsync }> => {
      loads++
      return { default: plugin }
    }
    app.register(deferFastify('/reports', load, quiet))
    app.register(
      deferFastify(
        '/broken',
        () => ({
          default: async (inner: FastifyInstance) => {
            inner.get('/', async () => 'half mounted')
            throw new Error('no licence')
          },
        }),
        fails,
      ),
    )
    app.register(
      deferFastify(
        '/static',
        () => ({ default: async (inner: FastifyInstance) => void inner.get('/*', async () => 'any') }),
        quiet,
      ),
    )
    app.get('/reports/critical', async () => 'critical')
    await app.ready()
  })
  after(() => app.close())

  const get = async (url: string, more: object = {}): Promise<[number, string]> => {
    const { statusCode, body } = await app.inject({ url, ...more })
    return [statusCode, body]
  }

  it('are not loaded by other requests', async () => {
    assert.deepEqual(await get('/reports/critical'), [200, 'critical'])
    assert.equal(loads, 0)
  })

  it('are loaded by the first request, whose body is complete and for which hooks run once', async () => {
    seen.length = 0
    assert.deepEqual(await get('/reports', { method: 'POST', payload: { a: 1 } }), [200, '{"a":1}'])
    assert.deepEqual(seen, ['ready', 'outer /reports', 'inner'])
    assert.equal(loads, 1)
  })

  it('have the hooks, schemas, decorators and error handler of their parent', async () => {
    assert.deepEqual(await get('/reports/'), [200, 'root'])
    assert.deepEqual(await get('/reports/7'), [200, '{"id":7}'])
    assert.deepEqual(await get('/reports/x'), [400, 'handled: params/id must be integer'])
    assert.deepEqual(await get('/reports/teapot'), [418, 'handled: short and stout'])
    assert.deepEqual(await get('/reports/nested/deep'), [200, '/reports/nested/deep decorated'])
    assert.deepEqual(await get('/reports/7', { method: 'HEAD' }), [200, ''])
  })

  it('leave unknown paths to the 404 handlers', async () => {
    assert.deepEqual(await get('/reports/no/such'), [404, 'inner not found'])
    const [status, body] = await get('/elsewhere')
    assert.deepEqual([status, JSON.parse(body).error], [404, 'Not Found'])
  })

  it('may contain a wildcard', async () => {
    assert.deepEqual(await get('/static/a/b.css'), [200, 'any'])
  })

  it('that cannot be mounted respond 503 with Retry-After, also those mounted before the failure', async () => {
    for (const url of ['/broken', '/broken/more']) {
      const { statusCode, headers, body } = await app.inject({ url })
      assert.equal(statusCode, 503)
      assert.equal(headers['content-type'], 'application/problem+json')
      assert.ok(Number(headers['retry-after']) > 1)
      assert.equal((JSON.parse(body) as { type: string }).type, 'urn:punctual:error:routes-failed')
    }
  })
})

describe('deferred routers of Express', () => {
  const router = express.Router()
  router.get(
    '/',
    (request: ExpressRequest, response: ExpressResponse) =>
      void response.send(`${request.baseUrl} ${request.url} ${request.originalUrl}`),
  )
  router.post(
    '/body',
    express.json(),
    (request: ExpressRequest, response: ExpressResponse) => void response.send(request.body),
  )
  router.get('/throws', () => {
    throw new Error('inner')
  })
  const app = express()
    .use(deferExpress('/reports', async () => ({ default: router }), quiet))
    .use(deferExpress('/broken', () => Promise.reject(new Error('no licence')), fails))
    .use(
      (request: ExpressRequest, response: ExpressResponse) =>
        void response.status(404).send(`not found ${request.baseUrl}${request.url}`),
    )
    .use((error: Error, _: unknown, response: ExpressResponse, __: unknown) => {
      response.status(500).send(`handled: ${error.message}`)
    })
  serveAnd(app, (fetchOf) => {
    it('are mounted under their prefix, as by Express', async () => {
      assert.deepEqual(await fetchOf('/reports?a=1'), [200, '/reports /?a=1 /reports?a=1'])
      assert.deepEqual(await fetchOf('/Reports/'), [200, '/Reports / /Reports/'])
      const posted = { method: 'POST', body: '{"a":1}', headers: { 'content-type': 'application/json' } }
      assert.deepEqual(await fetchOf('/reports/body', posted), [200, '{"a":1}'])
    })
    it('pass on unknown paths, and errors', async () => {
      assert.deepEqual(await fetchOf('/reports/unknown'), [404, 'not found /reports/unknown'])
      assert.deepEqual(await fetchOf('/reportsmore'), [404, 'not found /reportsmore'])
      assert.deepEqual(await fetchOf('/reports/throws'), [500, 'handled: inner'])
    })
    it('that cannot be loaded respond 503', async () => {
      assert.equal(JSON.parse((await fetchOf('/broken'))[1]).type, 'urn:punctual:error:routes-failed')
    })
  })
  it('cannot have parameters in their prefix', () => {
    assert.throws(() => deferExpress('/teams/:team', () => router), {
      name: 'InvalidOptionError',
      details: { option: 'prefix', given: '/teams/:team' },
    })
  })
})

describe('deferred apps of Hono', () => {
  const reports = new Hono<{ Variables: { user: string } }>()
    .get('/', (context) => context.text(`${context.req.path} for ${context.get('user')}`))
    .get('/throws', () => {
      throw new Error('inner')
    })
    .post('/body', async (context) => context.text(await context.req.text()))
  const shared = new Hono()
    .use(cors())
    .get('/', (context) => context.text('shared', 200, { 'x-set': 'inner' }))
    .get('/raw', () => new Response('raw'))
  const app = new Hono<{ Variables: { user: string } }>()
  app.use((context, next) => {
    context.set('user', 'Ada')
    context.header('x-set', 'outer')
    setCookie(context, 'one', '1')
    setCookie(context, 'two', '2')
    return next()
  })
  app.use(deferHono('/shared', async () => ({ default: shared }), quiet))
  app.get('/shared/behind', (context) => context.text('behind', 201))
  app.use(deferHono('/reports', async () => ({ default: reports }), quiet))
  app.use(deferHono('/broken', () => Promise.reject(new Error('no licence')), fails))
  app.get('/reports/outer', (context) => context.text('outer'))
  app.onError((error, context) => context.text(`handled: ${error.message}`, 500))
  app.notFound((context) => context.text('outer not found', 404))
  const get = async (path: string, more: RequestInit = {}): Promise<[number, string]> => {
    const response = await app.request(path, more)
    return [response.status, await response.text()]
  }

  it('are mounted under their prefix, with outer middleware', async () => {
    assert.deepEqual(await get('/reports'), [200, '/reports for Ada'])
    assert.deepEqual(await get('/reports/body', { method: 'POST', body: 'sent' }), [200, 'sent'])
    assert.deepEqual(await get('/reports/throws'), [500, 'handled: inner'])
  })
  it('pass on unknown paths', async () => {
    assert.deepEqual(await get('/reports/outer'), [200, 'outer'])
    assert.deepEqual(await get('/reports/unknown'), [404, 'outer not found'])
  })
  it('pass unknown paths on through their own middleware', async () => {
    const response = await app.request('/shared/behind')
    assert.deepEqual([response.status, await response.text()], [201, 'behind'])
    assert.equal(response.headers.get('access-control-allow-origin'), '*')
    assert.deepEqual(await get('/shared/unknown'), [404, 'outer not found'])
  })
  it('keep headers of outer middleware, unless they set them', async () => {
    for (const [path, set] of [
      ['/shared', 'inner'],
      ['/shared/raw', 'outer'],
      ['/shared/behind', 'outer'],
    ] as const) {
      const { headers } = await app.request(path)
      assert.equal(headers.get('x-set'), set, path)
      assert.deepEqual(headers.getSetCookie(), ['one=1; Path=/', 'two=2; Path=/'], path)
    }
  })
  it('that cannot be loaded respond 503', async () => {
    const response = await app.request('/broken')
    assert.equal(response.status, 503)
    assert.ok(Number(response.headers.get('retry-after')) > 1)
  })
})

describe('deferred plain handlers', () => {
  let attempts = 0
  const reports = deferHandler(
    '/reports',
    async () => ({ default: (request, response) => response.end(request.url) }),
    quiet,
  )
  const broken = deferHandler(
    '/broken',
    () => {
      attempts++
      throw new Error('no licence')
    },
    fails,
  )
  serveAnd(
    (request, response) => reports(request, response, () => broken(request, response)),
    (fetchOf) => {
      it('get requests below their prefix, and pass on others', async () => {
        assert.deepEqual(await fetchOf('/reports/7?a=1'), [200, '/reports/7?a=1'])
        assert.deepEqual(await fetchOf('/other'), [404, ''])
      })
      it('pass errors to next, also for a request that had to wait', async () => {
        const fail = (request: http.IncomingMessage): never => {
          throw new Error(`failed at ${request.url}`)
        }
        for (const handler of [fail, async (request: http.IncomingMessage) => fail(request)]) {
          const failing = deferHandler('/failing', () => ({ default: handler }), quiet)
          const listener = (request: http.IncomingMessage, response: http.ServerResponse): unknown =>
            failing(request, response, (error) => response.writeHead(500).end((error as Error).message))
          await withServer(listener, async (fetchFailing) => {
            assert.deepEqual(await fetchFailing('/failing/first'), [500, 'failed at /failing/first'])
            assert.deepEqual(await fetchFailing('/failing/second'), [500, 'failed at /failing/second'])
          })
        }
      })
      it('return errors to the caller without next', async () => {
        const failing = deferHandler('/failing', () => ({ default: () => Promise.reject(new Error('inner')) }), quiet)
        const listener = async (request: http.IncomingMessage, response: http.ServerResponse): Promise<void> => {
          await Promise.resolve(failing(request, response)).catch((error: Error) => response.end(error.message))
        }
        await withServer(listener, async (fetchFailing) => {
          assert.deepEqual(await fetchFailing('/failing/first'), [200, 'inner'])
          assert.deepEqual(await fetchFailing('/failing/second'), [200, 'inner'])
        })
      })
      it('that cannot be loaded respond 503, and are not loaded again for each request', async () => {
        assert.equal((await fetchOf('/broken'))[0], 503)
        assert.equal((await fetchOf('/broken'))[0], 503)
        assert.equal(attempts, 1)
      })
      it('that take too long respond 503, and continue loading', async () => {
        const load = Promise.withResolvers<{ default: http.RequestListener }>()
        const slow = deferHandler('/slow', () => load.promise, { ...quiet, requestTimeout: '20ms' })
        await withServer(slow, async (fetchSlow) => {
          const [status, body] = await fetchSlow('/slow')
          assert.equal(status, 503)
          assert.equal(JSON.parse(body).type, 'urn:punctual:error:routes-not-loaded')
          load.resolve({ default: (_, response) => void response.end('here') })
          assert.deepEqual(await fetchSlow('/slow'), [200, 'here'])
        })
      })
    },
  )
})

type Fetch = (path: string, more?: RequestInit) => Promise<[number, string]>

async function withServer(listener: http.RequestListener, run: (fetchOf: Fetch) => Promise<void>): Promise<void> {
  const server = http.createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  try {
    await run(async (path, more) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, more ?? {})
      return [response.status, await response.text()]
    })
  } finally {
    server.close()
    server.closeAllConnections()
  }
}

function serveAnd(listener: http.RequestListener, tests: (fetchOf: Fetch) => void): void {
  const server = http.createServer(listener)
  before(async () => {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  })
  after(() => {
    server.close()
    server.closeAllConnections()
  })
  tests(async (path, more) => {
    const { port } = server.address() as AddressInfo
    const response = await fetch(`http://127.0.0.1:${port}${path}`, more ?? {})
    return [response.status, await response.text()]
  })
}
