import type { FastifyInstance, FastifyReply } from 'fastify'
import { FAULTS_SCHEMA, type Faults } from '../outside/faults.ts'
import { problem, sendProblem } from '../problem.ts'
import { withTimeout } from '../punctual.ts'

/** Longer than the control server takes to lock a table. */
const FAULTS_LIMIT = '25s'

/**
 * Serves `/try/faults`, the faults outside the app for all workers. `PUT` replaces them, `DELETE`
 * ends all, `GET` returns them.
 *
 * @param faultsUrl of the control server; undefined if there is none
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
        ...problem(404, 'Outside faults need `npm start`, or FAULTS_URL.'),
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
    const { reason = 'The fault was rejected.', code = 'FAULT_FAILED' } = body
    return sendProblem(reply, { ...problem(409, reason), code })
  }
  app.get('/try/faults', (_request, reply) => pass(reply, 'GET'))
  app.delete('/try/faults', (_request, reply) => pass(reply, 'DELETE'))
  app.put<{ Body: Faults }>('/try/faults', { schema: { body: FAULTS_SCHEMA } }, (request, reply) =>
    pass(reply, 'PUT', request.body),
  )
}
