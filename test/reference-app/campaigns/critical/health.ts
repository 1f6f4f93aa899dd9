import type { FastifyInstance } from 'fastify'
import { burn } from '../burn.ts'

burn(30)

export default async function healthRoutes(app: FastifyInstance): Promise<void> {
  app.get('/health', async () => ({ status: 'ok' }))
}
