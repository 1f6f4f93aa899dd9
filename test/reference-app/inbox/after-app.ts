import type { FastifyInstance } from 'fastify'
import { createInboxAfter } from './after.ts'
import { buildInboxApp } from './build-inbox-app.ts'
import { inboxDatabase } from './database.ts'

/** The same on Punctual: `punctual.config.ts` has the same migrations run in the release step, once, before there is any worker. */
const app: FastifyInstance = buildInboxApp(inboxDatabase(), createInboxAfter)

export default app
