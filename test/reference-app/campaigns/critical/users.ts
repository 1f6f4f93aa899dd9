import type { FastifyInstance } from 'fastify'
import { burn } from '../burn.ts'
import { USERS } from '../data.ts'

burn(30)

export default async function usersRoutes(app: FastifyInstance): Promise<void> {
  app.get('/api/users', async () => ({ items: USERS }))
}
