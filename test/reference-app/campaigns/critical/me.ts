import type { FastifyInstance } from 'fastify'
import { burn } from '../burn.ts'
import { USERS } from '../data.ts'

burn(30)

export default async function meRoutes(app: FastifyInstance): Promise<void> {
  app.get('/api/me', async () => USERS[0])
}
