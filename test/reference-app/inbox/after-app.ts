import type { FastifyInstance } from 'fastify'
import { createInboxAfter } from './after.ts'
import { buildInboxApp } from './build-inbox-app.ts'
import { inboxDatabase } from './database.ts'

/**
 * The service on Punctual: `punctual.config.ts` runs the same migrations in a release step, once,
 * before any worker starts.
 */
const app: FastifyInstance = buildInboxApp(inboxDatabase(), createInboxAfter)

export default app
