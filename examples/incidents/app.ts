import cluster from 'node:cluster'
import type { FastifyInstance } from 'fastify'
import { readAppSettings } from './app-settings.ts'
import { buildApp } from './build-app.ts'

/** The entry. Punctual takes the instance and listens for it; `node app.ts` listens by itself, on HOST and PORT. */
const app: FastifyInstance = buildApp(readAppSettings(process.env))

if (import.meta.main && cluster.isPrimary) {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void app.close())
  const address = await app.listen({ host: process.env.HOST ?? '127.0.0.1', port: Number(process.env.PORT ?? 3000) })
  console.log(`listening on ${address}`)
}

export default app
