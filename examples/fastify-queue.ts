// Fastify and a durable queue: the client does not wait for the mail, and the mail is not lost.
//
//   MAIL_URL=http://127.0.0.1:4000 npx punctual run examples/fastify-queue.ts

import Fastify, { type FastifyInstance } from 'fastify'
import { punctual } from 'punctual/fastify'
import { durableQueue } from 'punctual/queue'

const mailService = process.env.MAIL_URL ?? 'http://127.0.0.1:4000'

interface Signup {
  readonly email: string
}

/**
 * Sends welcome mails in batches. An item survives the death of its worker and is retried until it
 * succeeds. It may be delivered twice: `ids` let the mail service recognize that.
 */
const welcomeMails = durableQueue<Signup>('welcome-mails', async (signups, { ids, signal }) => {
  const mails = signups.map(({ email }, index) => ({ id: ids[index], to: email, template: 'welcome' }))
  const body = JSON.stringify(mails)
  const response = await fetch(mailService, { method: 'POST', body, signal })
  if (!response.ok) throw new Error(`the mail service responded with status ${response.status}`)
})

const app: FastifyInstance = Fastify()
await app.register(punctual())

const schema = {
  body: { type: 'object', required: ['email'], properties: { email: { type: 'string', format: 'email' } } },
}

app.post<{ Body: Signup }>('/signups', { schema }, async (request, reply) => {
  const mail = welcomeMails.push({ email: request.body.email })
  return reply.code(202).send({ mail })
})

// Punctual listens for an app that is exported.
export default app
