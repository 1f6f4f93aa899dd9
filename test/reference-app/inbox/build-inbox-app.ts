import { DatabaseSync } from 'node:sqlite'
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import { answerWithProblems } from '../problem.ts'
import type { Inbox } from './contract.ts'
import { addInboxRoute } from './routes.ts'

/**
 * The inbox as an app of its own, over a migrated database: `GET /discussions?word=` lists rows of
 * its own table, `GET /discussions/:id` asks the partner at `PARTNER_URL`.
 */
export function buildInboxApp(path: string, createInbox: (partnerUrl: string) => Inbox): FastifyInstance {
  const { PARTNER_URL: partnerUrl } = process.env
  const database = new DatabaseSync(path, { readOnly: true })
  const find = database.prepare('select id, source, subject from discussions where words like ? order by id limit 20')
  const app = Fastify({ logger: { level: 'warn' } })
  answerWithProblems(app)
  app.get('/health', (_request, reply) => reply.send({ status: 'ok', pid: process.pid }))
  app.get<{ Querystring: { word?: string } }>(
    '/discussions',
    { schema: { querystring: { type: 'object', properties: { word: { type: 'string', maxLength: 50 } } } } },
    (request, reply) => reply.send(find.all(`%${(request.query.word ?? '').toLowerCase()}%`)),
  )
  addInboxRoute(app, '/discussions', partnerUrl ? createInbox(partnerUrl) : undefined)
  app.addHook('onClose', async () => database.close())
  return app
}
