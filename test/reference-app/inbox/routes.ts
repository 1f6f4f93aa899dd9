import type { FastifyInstance } from 'fastify'
import { problem, sendProblem } from '../problem.ts'
import type { Inbox, Source } from './contract.ts'
import { DISCUSSION_ANSWER_SCHEMA, DISCUSSION_PARAMS_SCHEMA, DISCUSSION_QUERY_SCHEMA } from './contract.ts'
import { PartnerAwayError, PartnerError } from './partner-client.ts'

/**
 * Serves `GET <path>/:id?source=messaging|issue` with any implementation of the contract; undefined
 * if there is no partner.
 */
export function addInboxRoute(app: FastifyInstance, path: string, inbox: Inbox | undefined): void {
  app.get<{ Params: { id: string }; Querystring: { source: Source } }>(
    `${path}/:id`,
    {
      schema: {
        params: DISCUSSION_PARAMS_SCHEMA,
        querystring: DISCUSSION_QUERY_SCHEMA,
        response: { 200: DISCUSSION_ANSWER_SCHEMA },
      },
    },
    async (request, reply) => {
      if (inbox === undefined) {
        return sendProblem(reply, problem(503, 'There is no partner API. Use `npm start`, or set PARTNER_URL.'))
      }
      try {
        return await inbox.discussion(request.params.id, request.query.source)
      } catch (error) {
        // The response of the partner is passed on unchanged.
        if (error instanceof PartnerError) {
          return sendProblem(reply, problem(error.status, `The partner responded with ${error.status}.`))
        }
        if (error instanceof PartnerAwayError) {
          request.log.warn({ err: error.cause }, error.message)
          return sendProblem(reply, problem(502, 'The partner is unavailable.'))
        }
        throw error
      }
    },
  )
}
