import { execSync } from 'node:child_process'
import type { FastifyInstance } from 'fastify'
import { pause } from '../../../src/resilience/clock.ts'
import { ms } from '../../../src/resilience/duration.ts'
import { checkName } from './check-name.ts'
import { spin } from './spin.ts'

const MILLISECONDS = { type: 'string', pattern: '^\\d{1,5}$' } as const

/**
 * Faults on demand, to see how the server around the app handles them. All but `slow` and
 * `new-client` block the event loop; without Punctual they block the whole process.
 */
export function addTryRoutes(app: FastifyInstance): void {
  app.get<{ Querystring: { ms?: string } }>(
    '/try/slow',
    { schema: { querystring: query({ ms: MILLISECONDS }) } },
    async (request) => {
      const waited = Number(request.query.ms ?? 2_000)
      await pause(ms(waited))
      return { waited, pid: process.pid }
    },
  )

  // A new client, on a connection of its own: `Connection: close` keeps the browser from reusing
  // it.
  app.get('/try/new-client', (_request, reply) => {
    reply.header('connection', 'close')
    reply.header('cache-control', 'no-store')
    return reply.send({ pid: process.pid })
  })

  app.get<{ Querystring: { ms?: string } }>(
    '/try/spin',
    { schema: { querystring: query({ ms: MILLISECONDS }) } },
    async (request) => {
      const turns = request.query.ms === undefined ? spin() : spin(Number(request.query.ms))
      return { turns, pid: process.pid }
    },
  )

  app.get<{ Querystring: { text?: string } }>(
    '/try/regex',
    { schema: { querystring: query({ text: { type: 'string', maxLength: 200 } }) } },
    async (request) => {
      const text = request.query.text ?? `${'a'.repeat(45)}!`
      return { text, isName: checkName(text), pid: process.pid }
    },
  )

  app.get('/try/exec', async () => {
    execSync('sleep 20')
    return { slept: 20_000, pid: process.pid }
  })
}

function query(properties: Record<string, object>): object {
  return { type: 'object', additionalProperties: false, properties }
}
