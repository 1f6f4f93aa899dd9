import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import { createAuthAfter } from './auth/after.ts'
import { createAuthBefore } from './auth/before.ts'
import { addAuthRoute } from './auth/routes.ts'
import { readDatabaseUrl } from './database/database-url.ts'
import { openGuardedPool } from './database/guarded-pool.ts'
import { openDatabase } from './database/pool.ts'
import { openSqliteDatabase } from './database/sqlite/open-sqlite-database.ts'
import { openUnlimitedPool } from './database/unlimited-pool.ts'
import { createInboxAfter } from './inbox/after.ts'
import { createInboxBefore } from './inbox/before.ts'
import { addInboxRoute } from './inbox/routes.ts'
import { createLoginService } from './login/login-service.ts'
import type { LoginStore } from './login/login-store.ts'
import { createPostgresStore } from './login/postgres-store.ts'
import { addLoginRoutes } from './login/routes.ts'
import { createSqliteStore } from './login/sqlite-store.ts'
import { addPage } from './page/page.ts'
import { answerWithProblems } from './problem.ts'
import type { Limit } from './punctual.ts'
import { createReferralsAfter } from './referrals/after.ts'
import { createReferralsBefore } from './referrals/before.ts'
import { addReferralRoutes } from './referrals/routes.ts'
import { addFaultRoutes } from './try/fault-routes.ts'
import { addTryRoutes } from './try/routes.ts'

export interface AppSettings {
  /** `postgres://…` or `sqlite:…` of a database that is migrated already. SQLite has the login only. */
  readonly databaseUrl: string
  /** Connections of this process at most, for each of its pools: of the login, of `before`, of `after` and of the referrals. Default 10. */
  readonly databasePoolMax?: number
  /** All queries of one sign-in, one sign-out or one look at the session. Default `8s`. */
  readonly loginLimit?: Limit
  /** The partner's API, for the inbox. Default: none, and the inbox says so. */
  readonly partnerUrl?: string
  /** Where faults outside the app are ordered. Default: nowhere. */
  readonly faultsUrl?: string
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
  const { partnerUrl, faultsUrl } = settings
  const database = readDatabaseUrl(settings.databaseUrl)

  answerWithProblems(app)
  addPage(app, settings.adminUrl ?? 'http://127.0.0.1:9464', database.kind)
  app.get('/health', (_request, reply) =>
    reply.header('cache-control', 'no-store').send({ status: 'ok', pid: process.pid }),
  )
  const store =
    database.kind === 'postgres' ? addOverPostgres(app, database.url, settings) : openSqliteStore(app, database.path)
  addLoginRoutes(app, createLoginService(store, settings.loginLimit ?? '8s'))
  addInboxRoute(app, '/discussions', partnerUrl === undefined ? undefined : createInboxAfter(partnerUrl))
  addInboxRoute(app, '/before/discussions', partnerUrl === undefined ? undefined : createInboxBefore(partnerUrl))
  addTryRoutes(app)
  addFaultRoutes(app, faultsUrl)
  return app
}

/** The features that need PostgreSQL; and where the login keeps its rows then. */
function addOverPostgres(app: FastifyInstance, url: string, { databasePoolMax: max }: AppSettings): LoginStore {
  const connections = { url, ...(max === undefined ? {} : { max }) }
  const guard = (name: string) =>
    openGuardedPool({
      ...connections,
      name,
      onEvent: ({ severity, pool, type, message }) => app.log[severity]({ pool, type }, message),
    })
  const login = guard('login')
  const after = guard('after')
  const referrals = guard('referrals')
  const before = openUnlimitedPool(connections)
  app.addHook('onClose', () => Promise.all([login.end(), after.end(), referrals.end(), before.end()]))
  addAuthRoute(app, '/api/auth', createAuthAfter(openDatabase(after)))
  addAuthRoute(app, '/before/api/auth', createAuthBefore(openDatabase(before)))
  // One guarded pool for both: a query for each row is seen by who guards it, and is all that makes the difference.
  addReferralRoutes(app, '/api/medics', createReferralsAfter(openDatabase(referrals)))
  addReferralRoutes(app, '/before/api/medics', createReferralsBefore(openDatabase(referrals)))
  return createPostgresStore(openDatabase(login))
}

function openSqliteStore(app: FastifyInstance, path: string): LoginStore {
  const db = openSqliteDatabase(path, {
    name: 'login',
    onEvent: ({ severity, database, type, message }) => app.log[severity]({ database, type }, message),
  })
  app.addHook('onClose', () => db.destroy())
  return createSqliteStore(db)
}
