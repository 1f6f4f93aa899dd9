import type { FastifyInstance } from 'fastify'
import { createInboxBefore } from './before.ts'
import { buildInboxApp } from './build-inbox-app.ts'
import { inboxDatabase } from './database.ts'
import { migrateInbox } from './migrate-inbox.ts'

/**
 * The service of the incident: every worker migrates when it starts. One works, the others wait for
 * its lock; all are killed at the boot timeout, and the next ones start over.
 */
const path = inboxDatabase()
migrateInbox(path)
const app: FastifyInstance = buildInboxApp(path, createInboxBefore)

export default app
