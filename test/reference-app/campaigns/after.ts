import type { FastifyInstance } from 'fastify'
import { deferRoutes, punctual } from '../../../src/adapters/fastify.ts'
import { buildDashboard } from './critical-routes.ts'
import { generateRoutes, SLOW_ROUTES } from './generate-routes.ts'

/**
 * The dashboard on Punctual: it serves as soon as the seven critical modules are loaded. The other
 * 62 are loaded afterwards, or at once when requested.
 */
generateRoutes()
const app: FastifyInstance = buildDashboard()
app.register(punctual())
for (const { file, prefix } of SLOW_ROUTES) app.register(deferRoutes(prefix, () => import(file)))

export default app
