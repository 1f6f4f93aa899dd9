import type { FastifyInstance } from 'fastify'
import { burn } from '../burn.ts'
import { BRANDS } from '../data.ts'

burn(30)

export default async function brandsRoutes(app: FastifyInstance): Promise<void> {
  app.get('/api/brands', async () => ({ items: BRANDS }))
}
