import type { FastifyInstance } from 'fastify'
import { burn } from '../burn.ts'

burn(30)

export default async function statuszRoutes(app: FastifyInstance): Promise<void> {
  app.get('/statusz', async () => ({ status: 'ok', pid: process.pid }))
}
