import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import type { Kysely } from 'kysely'
import { createAuthAfter } from './auth/after.ts'
import { authTimeouts } from './auth/auth-timeouts.ts'
import { createAuthBefore } from './auth/before.ts'
import { deferReferrals } from './auth/deferred-referrals.ts'
import { rememberUsers } from './auth/known-users.ts'
import { addAuthRoute } from './auth/routes.ts'
import { openLetters } from './auth/send-letters.ts'
import { readDatabaseUrl } from './database/database-url.ts'
import { openGuardedPool } from './database/guarded-pool.ts'
import { openDatabase } from './database/pool.ts'
import type { Database } from './database/schema.ts'
import { openSqliteDatabase } from './database/sqlite/open-sqlite-database.ts'
import { openUnlimitedPool } from './database/unlimited-pool.ts'
import { createInboxAfter } from './inbox/after.ts'
import { createInboxBefore } from './inbox/before.ts'
import { addInboxRoute } from './inbox/routes.ts'
import { createLoginAfter } from './login/after.ts'
import type { AuditStore } from './login/audit.ts'
import { createLoginBefore } from './login/before.ts'
import type { LoginService } from './login/contract.ts'
import { deferAudit } from './login/deferred-audit.ts'
import type { LoginStore } from './login/login-store.ts'
import { createPostgresAuditStore, createPostgresStore } from './login/postgres-store.ts'
import { addLoginRoutes } from './login/routes.ts'
import { createSqliteAuditStore, createSqliteStore } from './login/sqlite-store.ts'
import { openRedis } from './open-redis.ts'
import { addPage } from './page/page.ts'
import { answerWithProblems } from './problem.ts'
import type { Duration, SqliteOptions } from './punctual.ts'
import { createReferralsAfter } from './referrals/after.ts'
import { createReferralsBefore } from './referrals/before.ts'
import { addReferralRoutes } from './referrals/routes.ts'
import { addFaultRoutes } from './try/fault-routes.ts'
import { addTryRoutes } from './try/routes.ts'

export interface AppSettings {
  /** `postgres://…` or `sqlite:…` of a migrated database. SQLite only supports the login. */
  readonly databaseUrl: string
  /**
   * Maximum connections of each pool of this process: login, `before`, `after` and referrals.
   * Default 10.
   */
  readonly databasePoolMax?: number
  /** Where deferred work is stored without Punctual. Default: in memory only. */
  readonly stateDir?: string
  /** Timeout of all queries of one sign-in, sign-out or session lookup. Default `8s`. */
  readonly loginTimeout?: Duration
  /** The partner's API, for the inbox. Default: none; the inbox then responds with 503. */
  readonly partnerUrl?: string
  /** The mail server, `smtp://…`. Default: none; letters stay in the outbox. */
  readonly smtpUrl?: string
  /**
   * `redis://…`, which lets workers and machines share cached lookups. Default: none; each worker
   * has its own cache.
   */
  readonly redisUrl?: string
  /** Where faults outside the app are ordered. Default: none. */
  readonly faultsUrl?: string
  /** Target of the page's links to status and incidents. Default `http://127.0.0.1:19464`. */
  readonly adminUrl?: string
  /** Default `warn`. */
  readonly logLevel?: string
}

/** What a database provides for the login, before and after. */
interface LoginStores {
  readonly after: LoginStore & AuditStore
  /** Opened by its first use. */
  readonly before: () => LoginStore & AuditStore
}

/** What the app closes; queues before the databases they write to. */
interface Closing {
  readonly queues: (() => Promise<unknown>)[]
  readonly databases: (() => Promise<unknown>)[]
}

/**
 * Builds the app without listening. Closing it delivers its queues if that is quick, and closes its
 * database connections.
 */
export function buildApp(settings: AppSettings): FastifyInstance {
  const app = Fastify({
    logger: { level: settings.logLevel ?? 'warn' },
    bodyLimit: 64 * 1024,
    // A number is not a user name, and an unknown field is an error.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
  })
  const { partnerUrl, faultsUrl } = settings
  const database = readDatabaseUrl(settings.databaseUrl)

  answerWithProblems(app)
  addPage(app, settings.adminUrl ?? 'http://127.0.0.1:19464', database.kind)
  app.get('/health', (_request, reply) =>
    reply.header('cache-control', 'no-store').send({ status: 'ok', pid: process.pid }),
  )
  const closing: Closing = { queues: [], databases: [] }
  const stores =
    database.kind === 'postgres'
      ? addOverPostgres(app, closing, database.url, settings)
      : openSqliteStores(app, closing, database.path)
  addLogin(app, closing, stores, settings)
  addInboxRoute(app, '/discussions', partnerUrl === undefined ? undefined : createInboxAfter(partnerUrl))
  addInboxRoute(app, '/before/discussions', partnerUrl === undefined ? undefined : createInboxBefore(partnerUrl))
  addTryRoutes(app)
  addFaultRoutes(app, faultsUrl)
  app.addHook('onClose', async () => {
    await Promise.all(closing.queues.map((close) => close()))
    await Promise.all(closing.databases.map((close) => close()))
  })
  return app
}

function addLogin(app: FastifyInstance, closing: Closing, stores: LoginStores, settings: AppSettings): void {
  const audit = deferAudit(stores.after, { stateDir: settings.stateDir, log: app.log })
  closing.queues.push(...audit.queues.map((queue) => () => queue.close()))
  const after = createLoginAfter(stores.after, audit, settings.loginTimeout ?? '8s')
  addLoginRoutes(app, '', () => after)
  let before: LoginService | undefined
  addLoginRoutes(app, '/before', () => {
    before ??= createLoginBefore(stores.before())
    return before
  })
}

/** The features that need PostgreSQL, and the login store for it. */
function addOverPostgres(
  app: FastifyInstance,
  closing: Closing,
  url: string,
  { databasePoolMax: max, stateDir, smtpUrl, redisUrl }: AppSettings,
): LoginStores {
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
  closing.databases.push(...[login, after, referrals, before].map((pool) => () => pool.end()))
  const auth = openDatabase(after)
  const letters = openLetters(auth, smtpUrl)
  const deferred = deferReferrals(auth, { stateDir, log: app.log, sendLetters: letters.send })
  closing.queues.push(() => deferred.close().then(letters.close))
  const timeouts = authTimeouts()
  const redis = redisUrl === undefined ? undefined : openRedis(redisUrl, app.log)
  const users = rememberUsers(auth, {
    redis,
    withKeysTimeout: timeouts.withKeys,
    onEvent: ({ severity, type, message }) => app.log[severity]({ type }, message),
  })
  closing.queues.push(async () => {
    users.close()
    timeouts.close()
    redis?.disconnect()
  })
  addAuthRoute(app, '/api/auth', createAuthAfter({ db: auth, users, timeouts, referrals: deferred }))
  addAuthRoute(app, '/before/api/auth', createAuthBefore(openDatabase(before)))
  // One guarded pool for both: only the queries differ.
  addReferralRoutes(app, '/api/medics', createReferralsAfter(openDatabase(referrals)))
  addReferralRoutes(app, '/before/api/medics', createReferralsBefore(openDatabase(referrals)))
  const stores = (db: Kysely<Database>) => ({ ...createPostgresStore(db), ...createPostgresAuditStore(db) })
  return { after: stores(openDatabase(login)), before: () => stores(openDatabase(before)) }
}

function openSqliteStores(app: FastifyInstance, closing: Closing, path: string): LoginStores {
  const open = (name: string, options: SqliteOptions = {}) => {
    const db = openSqliteDatabase(name, path, {
      ...options,
      onEvent: ({ severity, database, type, message }) => app.log[severity]({ database, type }, message),
    })
    closing.databases.push(() => db.destroy())
    return { ...createSqliteStore(db), ...createSqliteAuditStore(db) }
  }
  return {
    after: open('login'),
    before: () => open('before', { queryTimeout: 'unbounded', transactionTimeout: 'unbounded' }),
  }
}
