import { startPostgres } from '../../process/database/postgres.ts'
import { startRedis } from '../../process/support/redis.ts'
import type { Backends } from './definition.ts'

/** The databases that some servers need, for one run. */
export interface RunningBackends extends AsyncDisposable {
  readonly urls: Partial<Backends>
}

export async function startBackends(wanted: readonly (keyof Backends)[]): Promise<RunningBackends> {
  const postgres = wanted.includes('postgres') ? await startPostgres() : null
  const redis = wanted.includes('redis') ? await startRedis() : null
  return {
    urls: {
      ...(postgres && {
        postgres: `postgres://${postgres.user}:${postgres.password}@127.0.0.1:${postgres.port}/postgres`,
      }),
      ...(redis && { redis: redis.url }),
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([postgres?.stop(), redis?.stop()])
    },
  }
}
