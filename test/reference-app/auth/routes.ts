import type { FastifyInstance } from 'fastify'
import { problem, sendProblem } from '../problem.ts'
import type { AuthService, Identity } from './contract.ts'
import { IDENTITY_SCHEMA, SIGNED_IN_SCHEMA } from './contract.ts'

/** Serves `POST <path>` with any implementation of the contract. */
export function addAuthRoute(app: FastifyInstance, path: string, service: AuthService): void {
  app.post<{ Body: Identity }>(
    path,
    { schema: { body: IDENTITY_SCHEMA, response: { 200: SIGNED_IN_SCHEMA } } },
    async (request, reply) => {
      reply.header('cache-control', 'no-store')
      const result = await service.auth(request.body)
      if (result !== 'username taken') return result
      return sendProblem(reply, problem(409, 'This user name is taken. Choose another one.'))
    },
  )
}
