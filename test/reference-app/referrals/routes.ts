import type { FastifyInstance, FastifyReply } from 'fastify'
import type { ReferralStatus, TestStatus } from '../database/schema.ts'
import { problem, sendProblem } from '../problem.ts'
import type { ReferralChange, ReferralService, Refusal, Window } from './contract.ts'
import { isRefusal } from './contract.ts'
import { readCursor } from './cursor.ts'
import {
  ID_PARAMS_SCHEMA,
  LARGEST_ID,
  listQuerySchema,
  PAGE_SCHEMA,
  PRACTITIONER_PAGE_SCHEMA,
  REFERRAL_CHANGE_SCHEMA,
  REFERRAL_SCHEMA,
  TEST_CHANGE_SCHEMA,
  TEST_SCHEMA,
} from './schemas.ts'

interface ListQuery {
  readonly practitionerId: string
  readonly technicianId: string
  readonly status?: ReferralStatus
  readonly cursor?: string
  readonly limit: string
}

/** Serves `<path>/referrals/…` and `<path>/tests/:id` with any implementation of the contract. */
export function addReferralRoutes(app: FastifyInstance, path: string, service: ReferralService): void {
  addList(app, `${path}/referrals/practitioner`, 'practitionerId', PRACTITIONER_PAGE_SCHEMA, (id, window) =>
    service.ofPractitioner(id, window),
  )
  addList(app, `${path}/referrals/technician`, 'technicianId', PAGE_SCHEMA, (id, window) =>
    service.ofTechnician(id, window),
  )
  app.get<{ Params: { id: string } }>(
    `${path}/referrals/:id`,
    { schema: { params: ID_PARAMS_SCHEMA, response: { 200: REFERRAL_SCHEMA } } },
    async (request, reply) => (await byId(request.params.id, (id) => service.find(id))) ?? notFound(reply, 'referral'),
  )
  app.patch<{ Params: { id: string }; Body: ReferralChange }>(
    `${path}/referrals/:id`,
    { schema: { params: ID_PARAMS_SCHEMA, body: REFERRAL_CHANGE_SCHEMA, response: { 200: REFERRAL_SCHEMA } } },
    async (request, reply) => {
      const result = await byId(request.params.id, (id) => service.change(id, request.body))
      return result === undefined || isRefusal(result) ? refuse(reply, 'referral', result) : result
    },
  )
  app.patch<{ Params: { id: string }; Body: { status: TestStatus } }>(
    `${path}/tests/:id`,
    { schema: { params: ID_PARAMS_SCHEMA, body: TEST_CHANGE_SCHEMA, response: { 200: TEST_SCHEMA } } },
    async (request, reply) => {
      const result = await byId(request.params.id, (id) => service.changeTest(id, request.body.status))
      return result === undefined || isRefusal(result) ? refuse(reply, 'test', result) : result
    },
  )
}

function addList<Page>(
  app: FastifyInstance,
  path: string,
  owner: 'practitionerId' | 'technicianId',
  schema: object,
  list: (id: number, window: Window) => Promise<Page | undefined>,
): void {
  app.get<{ Querystring: ListQuery }>(
    path,
    { schema: { querystring: listQuerySchema(owner), response: { 200: schema } } },
    async (request, reply) => {
      const { status, cursor, limit } = request.query
      const after = cursor === undefined ? undefined : readCursor(cursor)
      if (cursor !== undefined && after === undefined) {
        const errors = [
          { pointer: '#/cursor', rule: 'cursor', detail: 'must be a `nextCursor` of this list, unchanged' },
        ]
        return sendProblem(reply, problem(400, 'The querystring is not valid.', errors))
      }
      reply.header('cache-control', 'no-store')
      const page = await byId(request.query[owner], (id) => list(id, { status, after, limit: Number(limit) }))
      return page ?? notFound(reply, owner === 'practitionerId' ? 'practitioner' : 'technician')
    },
  )
}

/** No row has an id that exceeds its column. */
async function byId<T>(text: string, ask: (id: number) => Promise<T>): Promise<T | undefined> {
  const id = Number(text)
  return id > LARGEST_ID ? undefined : ask(id)
}

function refuse(reply: FastifyReply, what: string, refusal: Refusal | undefined): FastifyReply {
  if (refusal === undefined || refusal === 'not found') return notFound(reply, what)
  if (refusal === 'no such facility') {
    const errors = [{ pointer: '#/facilityId', rule: 'facility', detail: 'must be the id of a facility' }]
    return sendProblem(reply, problem(400, 'The body is not valid.', errors))
  }
  return sendProblem(reply, { ...problem(409, refusal.conflict), code: refusal.code })
}

function notFound(reply: FastifyReply, what: string): FastifyReply {
  return sendProblem(reply, problem(404, `There is no such ${what}.`))
}
