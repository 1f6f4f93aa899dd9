import type { FastifyInstance } from 'fastify'
import { burn } from '../burn.ts'

burn(30)

export default async function tokenRoutes(app: FastifyInstance): Promise<void> {
  app.post('/api/token', async () => ({ token: 'demo', expiresIn: 3600 }))
}
