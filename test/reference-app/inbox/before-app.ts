import type { FastifyInstance } from 'fastify'
import { createInboxBefore } from './before.ts'
import { buildInboxApp } from './build-inbox-app.ts'
import { inboxDatabase } from './database.ts'
import { migrateInbox } from './migrate-inbox.ts'

/**
 * As the service was: every worker migrates when it starts. One of them works, the others wait for its lock; all are killed at the boot limit, and the
 * next ones begin from the start.
 */
const path = inboxDatabase()
migrateInbox(path)
const app: FastifyInstance = buildInboxApp(path, createInboxBefore)

export default app
