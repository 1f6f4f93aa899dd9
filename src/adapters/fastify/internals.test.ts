import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { describe, it } from 'node:test'
import Fastify from 'fastify'
import { deferRoutes } from '../fastify.ts'
import { assertCheckedVersion, CHECKED_VERSIONS, captureAvvio, internalsOf } from './internals.ts'

describe('the versions of Fastify that routes can be deferred on', () => {
  it('are those that were checked, including patch releases', () => {
    for (const version of [`${CHECKED_VERSIONS.first}.0`, '5.3.3', `${CHECKED_VERSIONS.last}.99`, Fastify().version]) {
      assertCheckedVersion(version)
    }
  })

  it('are no others: the error has the version', () => {
    for (const version of ['4.29.1', '5.0.0-alpha.4', '5.13.0', '6.0.0', '15.1.0', 'unknown']) {
      assert.throws(() => assertCheckedVersion(version), {
        name: 'PunctualError',
        code: 'PUNCTUAL_ROUTES_UNSUPPORTED',
        details: { version, checked: CHECKED_VERSIONS },
      })
    }
  })

  it('are checked when the app boots', async () => {
    await using app = Fastify()
    const newer = Object.create(app, { version: { value: '7.1.0' } })
    app.register((_, options, done) => deferRoutes('/reports', () => ({}))(newer, options, done))
    await assert.rejects(async () => await app.ready(), {
      code: 'PUNCTUAL_ROUTES_UNSUPPORTED',
      details: { version: '7.1.0', checked: CHECKED_VERSIONS },
    })
  })
})

describe('the private parts of Fastify', () => {
  it('that are missing are listed in the error', () => {
    assert.throws(() => internalsOf({ version: '5.1.0', [Symbol('fastify.state')]: {} } as never, undefined), {
      code: 'PUNCTUAL_ROUTES_UNSUPPORTED',
      details: {
        version: '5.1.0',
        missing: [
          'fastify.hooks',
          'fastify.children',
          'fastify.routePrefix',
          'fastify.404ContextKey',
          'fastify.404LogLevelInstance',
          'fastify.canSetNotFoundHandler',
          'avvio',
        ],
      },
    })
  })

  it('are found without a lasting change to EventEmitter', () => {
    const { once } = EventEmitter.prototype
    const fail = (): never => {
      throw new Error('failed')
    }
    assert.equal(
      captureAvvio(() => {}),
      undefined,
    )
    assert.throws(() => captureAvvio(fail), { message: 'failed' })
    assert.equal(EventEmitter.prototype.once, once)
  })
})
