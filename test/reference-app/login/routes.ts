import type { FastifyInstance, FastifyRequest } from 'fastify'
import { problem, sendProblem } from '../problem.ts'
import type { Client, Credentials, LoginService } from './contract.ts'
import { CREDENTIALS_SCHEMA, SESSION_SECONDS, USER_ANSWER_SCHEMA } from './contract.ts'
import { endedSessionCookie, readSessionToken, sessionCookie } from './session-cookie.ts'

/**
 * Serves `POST /login`, `GET /me` and `POST /logout` below `prefix`, with any implementation of the
 * contract.
 *
 * @param service called for each request, so that an unused one opens nothing
 */
export function addLoginRoutes(app: FastifyInstance, prefix: '' | '/before', service: () => LoginService): void {
  app.post<{ Body: Credentials }>(
    `${prefix}/login`,
    { schema: { body: CREDENTIALS_SCHEMA, response: { 200: USER_ANSWER_SCHEMA } } },
    async (request, reply) => {
      const signedIn = await service().login(request.body, clientOf(request))
      // The same response for an unknown name and a wrong password.
      if (signedIn === undefined) return sendProblem(reply, problem(401, 'Wrong user name or password.'))
      reply.header('set-cookie', sessionCookie(signedIn.token, SESSION_SECONDS, request.protocol === 'https'))
      reply.header('cache-control', 'no-store')
      return { user: signedIn.user }
    },
  )

  app.get(`${prefix}/me`, { schema: { response: { 200: USER_ANSWER_SCHEMA } } }, async (request, reply) => {
    const token = readSessionToken(request.headers.cookie)
    const user = token === undefined ? undefined : await service().me(token)
    reply.header('cache-control', 'no-store')
    if (user === undefined)
      return sendProblem(reply, problem(401, 'There is no session, or it expired. Sign in with POST /login.'))
    return { user }
  })

  app.post(`${prefix}/logout`, async (request, reply) => {
    const token = readSessionToken(request.headers.cookie)
    if (token !== undefined) await service().logout(token, clientOf(request))
    reply.header('set-cookie', endedSessionCookie(request.protocol === 'https'))
    return reply.code(204).send()
  })
}

function clientOf(request: FastifyRequest): Client {
  return { ip: request.ip, userAgent: (request.headers['user-agent'] ?? '').slice(0, 512) }
}
