import type { FastifyInstance } from 'fastify'
import { burn } from '../burn.ts'
import { CAMPAIGNS } from '../data.ts'

burn(30)

export default async function campaignsRoutes(app: FastifyInstance): Promise<void> {
  app.get('/api/campaigns', async () => ({ items: CAMPAIGNS }))
}
