import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import { openDatabase, openPool } from './database/pool.ts'
import { createLoginService } from './login/login-service.ts'
import { addLoginRoutes } from './login/routes.ts'
import { addPage } from './page/page.ts'
import { answerWithProblems } from './problem.ts'
import { addTryRoutes } from './try/routes.ts'

export interface AppSettings {
  /** `postgres://…` of a database that is migrated already. */
  readonly databaseUrl: string
  /** Connections of this process at most. Default 10. */
  readonly databasePoolMax?: number
  /** Where the page's links to status and incidents lead. Default `http://127.0.0.1:9464`. */
  readonly adminUrl?: string
  /** Default `warn`. */
  readonly logLevel?: string
}

/** The app, not yet listening. Closing it closes its database connections. */
export function buildApp(settings: AppSettings): FastifyInstance {
  const app = Fastify({
    logger: { level: settings.logLevel ?? 'warn' },
    bodyLimit: 64 * 1024,
    // A number is no user name, and a field nobody asked for is a mistake worth telling.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
  })
  const pool = openPool({
    url: settings.databaseUrl,
    ...(settings.databasePoolMax === undefined ? {} : { max: settings.databasePoolMax }),
    onIdleError: (error) =>
      app.log.warn({ err: error }, 'an idle database connection broke; the pool will open another'),
  })
  app.addHook('onClose', () => pool.end())

  answerWithProblems(app)
  addPage(app, settings.adminUrl ?? 'http://127.0.0.1:9464')
  app.get('/health', (_request, reply) =>
    reply.header('cache-control', 'no-store').send({ status: 'ok', pid: process.pid }),
  )
  addLoginRoutes(app, createLoginService(openDatabase(pool)))
  addTryRoutes(app)
  return app
}
