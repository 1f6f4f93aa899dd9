import type { FastifyInstance } from 'fastify'
import { buildDashboard } from './critical-routes.ts'
import { generateRoutes, SLOW_ROUTES } from './generate-routes.ts'

/** As the service was: nobody is served before all of it has been imported. */
generateRoutes()
const app: FastifyInstance = buildDashboard()
for (const { file, prefix } of SLOW_ROUTES) {
  const { default: routes } = await import(file)
  app.register(routes, { prefix })
}

export default app
