import type { FastifyInstance, FastifyReply } from 'fastify'
import { FAULTS_SCHEMA, type Faults } from '../outside/faults.ts'
import { problem, sendProblem } from '../problem.ts'
import { withTimeout } from '../punctual.ts'

/** Above what the other side takes at most to lock a table. */
const FAULTS_LIMIT = '25s'

/**
 * `/try/faults`: what goes wrong outside the app, for all workers. `PUT` orders faults and ends those it does not name, `DELETE` ends all, `GET` tells.
 *
 * @param faultsUrl where faults are ordered; undefined when the app runs without an outside of its own
 */
export function addFaultRoutes(app: FastifyInstance, faultsUrl: string | undefined): void {
  const pass = async (
    reply: FastifyReply,
    method: 'GET' | 'PUT' | 'DELETE',
    faults?: Faults,
  ): Promise<FastifyReply> => {
    reply.header('cache-control', 'no-store')
    if (faultsUrl === undefined) {
      return sendProblem(reply, {
        ...problem(404, 'Faults outside the app need `npm start`, or FAULTS_URL.'),
        code: 'NO_OUTSIDE',
      })
    }
    const { status, body } = await withTimeout('faults', FAULTS_LIMIT, async ({ signal }) => {
      const answer = await fetch(faultsUrl, {
        method,
        signal,
        ...(faults === undefined ? {} : { body: JSON.stringify(faults) }),
      })
      return { status: answer.status, body: (await answer.json()) as { reason?: string; code?: string } }
    })
    if (status === 200) return reply.send(body)
    const { reason = 'The fault was refused.', code = 'FAULT_FAILED' } = body
    return sendProblem(reply, { ...problem(409, reason), code })
  }
  app.get('/try/faults', (_request, reply) => pass(reply, 'GET'))
  app.delete('/try/faults', (_request, reply) => pass(reply, 'DELETE'))
  app.put<{ Body: Faults }>('/try/faults', { schema: { body: FAULTS_SCHEMA } }, (request, reply) =>
    pass(reply, 'PUT', request.body),
  )
}
