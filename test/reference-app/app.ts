import cluster from 'node:cluster'
import type { FastifyInstance } from 'fastify'
import { formatError } from './app-error.ts'
import { readAppSettings } from './app-settings.ts'
import { type AppSettings, buildApp } from './build-app.ts'

/**
 * The entry. Punctual listens for the exported instance; `node app.ts` listens itself, on HOST and
 * PORT.
 */
const app: FastifyInstance = buildApp(readSettings())

if (cluster.isPrimary && import.meta.main) {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void app.close())
  const address = await app.listen({ host: process.env.HOST ?? '127.0.0.1', port: Number(process.env.PORT ?? 3000) })
  console.log(`listening on ${address}`)
}

/**
 * Under plain `node`, an invalid setting is one line and exit code 2. Punctual reports it itself.
 */
function readSettings(): AppSettings {
  try {
    return readAppSettings(process.env)
  } catch (error) {
    if (!cluster.isPrimary || !import.meta.main || !(error instanceof Error)) throw error
    console.error(formatError(error))
    process.exit(2)
  }
}

export default app
