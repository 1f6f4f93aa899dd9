import assert from 'node:assert/strict'
import { test } from 'node:test'
import fastify, { type FastifyPluginCallback } from 'fastify'
import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { PunctualError } from '../errors/punctual-error.ts'
import { punctual as fastifyPlugin, sendProblem } from './fastify.ts'
import { punctual as honoMiddleware, problems as honoProblems } from './hono.ts'

// Route patterns need a request of a worker: see test/process/waits/frameworks.test.ts.
// These tests check the types.

const shed = (): never => {
  throw new PunctualError('PUNCTUAL_SHED', 'too many in pool "orders"')
}

test('the Fastify plugin has the right type, and applies to sibling routes', async () => {
  const plugin: FastifyPluginCallback = fastifyPlugin()
  const app = fastify()
  app.register(plugin)
  app.get('/', shed)
  const { statusCode, headers, body } = await app.inject('/')
  assert.deepEqual([statusCode, headers['content-type']], [503, 'application/problem+json'])
  assert.doesNotMatch(body, /orders/)
  await app.close()
})

test("an app's own Fastify error handler is kept, and can use sendProblem", async () => {
  const app = fastify()
  app.setErrorHandler((error, _request, reply) => {
    if (!sendProblem(error, reply)) return reply.code(418).send('own')
  })
  app.register(fastifyPlugin())
  app.get('/', shed)
  app.get('/own', () => {
    throw new Error('x')
  })
  assert.equal((await app.inject('/')).headers['content-type'], 'application/problem+json')
  assert.deepEqual([(await app.inject('/own')).statusCode, (await app.inject('/own')).body], [418, 'own'])
  await app.close()
})

test("Hono's middleware and error handler have the right types; an HTTPException keeps its response", async () => {
  const app = new Hono()
  app.use(honoMiddleware())
  app.onError(honoProblems())
  app.get('/', shed)
  app.get('/own', () => {
    throw new HTTPException(418, { message: 'own' })
  })
  const response = await app.request('/')
  assert.deepEqual([response.status, response.headers.get('content-type')], [503, 'application/problem+json'])
  assert.equal(response.headers.get('retry-after'), '1')
  const own = await app.request('/own')
  assert.deepEqual([own.status, await own.text()], [418, 'own'])
})
