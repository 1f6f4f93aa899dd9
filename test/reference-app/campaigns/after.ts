import type { FastifyInstance } from 'fastify'
import { deferRoutes, punctual } from '../../../src/adapters/fastify.ts'
import { buildDashboard } from './critical-routes.ts'
import { generateRoutes, SLOW_ROUTES } from './generate-routes.ts'

/** The same on Punctual: it serves when the seven critical modules are there; the other 62 are loaded then, each at once when it is asked for. */
generateRoutes()
const app: FastifyInstance = buildDashboard()
app.register(punctual())
for (const { file, prefix } of SLOW_ROUTES) app.register(deferRoutes(prefix, () => import(file)))

export default app
