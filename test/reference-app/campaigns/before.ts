import type { FastifyInstance } from 'fastify'
import { buildDashboard } from './critical-routes.ts'
import { generateRoutes, SLOW_ROUTES } from './generate-routes.ts'

/** The dashboard of the incident: it serves nothing until everything has been imported. */
generateRoutes()
const app: FastifyInstance = buildDashboard()
for (const { file, prefix } of SLOW_ROUTES) {
  const { default: routes } = await import(file)
  app.register(routes, { prefix })
}

export default app
