import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import Fastify, { type FastifyInstance } from 'fastify'
import { PunctualError } from '../../errors/punctual-error.ts'
import type { DeferralEvent } from '../../routes/deferral-options.ts'
import { deferRoutes } from '../fastify.ts'

/** Deferred at once, and tried again at once. */
function deferred(prefix: string, plugin: (app: FastifyInstance) => void | Promise<void>) {
  const events: DeferralEvent[] = []
  const onEvent = (event: DeferralEvent): void => void events.push(event)
  const load = (): object => ({ default: async (app: FastifyInstance) => plugin(app) })
  return { routes: deferRoutes(prefix, load, { onEvent, retryDelay: '1ms', maxRetryDelay: '1ms' }), events }
}

/** The details of the error of an event. */
function detailsOf(event: DeferralEvent | undefined): Readonly<Record<string, unknown>> | undefined {
  return event?.error instanceof PunctualError ? event.error.details : undefined
}

/** Asks until the answer is another than 503. */
async function loaded(app: FastifyInstance, url: string): Promise<string> {
  for (;;) {
    const { statusCode, body } = await app.inject(url)
    if (statusCode !== 503) return body
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('a deferred plugin that has failed', () => {
  it('is mounted again after it was mounted in part', async () => {
    await using app = Fastify()
    let attempts = 0
    const { routes } = deferred('/again', (inner) => {
      inner.get('/', async () => `attempt ${attempts}`)
      if (++attempts === 1) throw new Error('not yet')
    })
    app.register(routes)
    assert.equal((await app.inject('/again')).statusCode, 503)
    assert.equal(await loaded(app, '/again'), 'attempt 2')
  })

  it('may set its 404 handlers again, which Fastify accepts once', async () => {
    for (const prefix of ['/again', '/']) {
      await using app = Fastify()
      let attempts = 0
      const { routes } = deferred(prefix, async (inner) => {
        attempts++
        inner.decorate('attempt', attempts)
        inner.get('/', async () => 'loaded')
        inner.setNotFoundHandler((request, reply) =>
          reply.code(404).send(`${Reflect.get(request.server, 'attempt')} outer`),
        )
        await inner.register(
          async (nested) => nested.setNotFoundHandler((_, reply) => reply.code(404).send(`${attempts} nested`)),
          { prefix: '/nested' },
        )
        inner.addHook('onReady', async () => {
          if (attempts < 3) throw new Error('not yet')
        })
      })
      app.register(routes)
      assert.equal(await loaded(app, prefix), 'loaded')
      const below = prefix === '/' ? '' : prefix
      assert.equal((await app.inject(`${below}/unknown`)).body, '3 outer')
      assert.equal((await app.inject(`${below}/nested/unknown`)).body, '3 nested')
      const elsewhere = await app.inject('/elsewhere')
      assert.equal(elsewhere.statusCode, 404)
      // The handler of Fastify's own, which answers JSON.
      if (prefix !== '/') assert.equal(elsewhere.json().error, 'Not Found')
    }
  })

  it('fails for good when the router of Fastify has no room for more attempts', async () => {
    await using app = Fastify()
    let attempts = 0
    const { routes, events } = deferred('/always', (inner) => {
      attempts++
      for (const version of ['1.0.0', '2.0.0']) inner.get('/', { constraints: { version } }, async () => version)
      throw new Error('no licence')
    })
    app.register(routes)
    await app.ready()
    const isFull = (): boolean => events.some((event) => detailsOf(event)?.reason === 'router-full')
    while (!isFull()) {
      assert.equal((await app.inject('/always')).statusCode, 503)
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.equal(attempts, 12)
    for (const event of events) {
      assert.equal(event.type, 'failed')
      if (detailsOf(event)?.reason !== 'router-full') assert.equal((event.error as Error).message, 'no licence')
    }
  })

  it('is retried without limit if it fails before it adds routes', async () => {
    await using app = Fastify()
    let attempts = 0
    const { routes } = deferred('/late', (inner) => {
      if (++attempts < 50) throw new Error('not connected')
      inner.get('/', async () => 'connected')
    })
    app.register(routes)
    assert.equal(await loaded(app, '/late'), 'connected')
  })
})

describe('a hook of a deferred plugin that hangs', () => {
  it('fails the plugin after pluginTimeout if it is onReady, and delays no other', async () => {
    await using app = Fastify({ pluginTimeout: 1_000 })
    const hangs = deferred('/hangs', (inner) => {
      inner.addHook('onReady', function connects(_done) {})
    })
    app.register(hangs.routes)
    app.register(deferred('/sound', (inner) => void inner.get('/', async () => 'sound')).routes)
    const [failed, sound] = await Promise.all([app.inject('/hangs'), app.inject('/sound')])
    assert.equal(failed.statusCode, 503)
    assert.equal(sound.body, 'sound')
    assert.deepEqual(detailsOf(hangs.events[0]), {
      reason: 'hook-timeout',
      hook: 'onReady',
      name: 'connects',
      timeoutMs: 1_000,
    })
  })

  it('is not waited for if it is onListen; the others run', async () => {
    await using app = Fastify({ pluginTimeout: 1_000 })
    const ran = Promise.withResolvers<void>()
    const { routes } = deferred('/listens', (inner) => {
      inner.addHook('onListen', (_done) => {})
      inner.addHook('onListen', async () => {
        ran.resolve()
        throw new Error('logged')
      })
      inner.get('/', async () => 'listens')
    })
    app.register(routes)
    await app.listen({ port: 0, host: '127.0.0.1' })
    assert.equal((await app.inject('/listens')).body, 'listens')
    await ran.promise
  })
})
