import type { Redis } from 'ioredis'
import type { Kysely } from 'kysely'
import type { Database } from '../database/schema.ts'
import {
  type CacheEvent,
  type Duration,
  type Milliseconds,
  type ReadThrough,
  type RuntimeValue,
  readThrough,
  withQueryTimeout,
} from '../punctual.ts'
import type { Identity } from './contract.ts'
import { findByPrivyId, findHolder, type KnownUser, type NameHolder } from './user-queries.ts'

/** How long a user is cached. `last_seen_at` is updated by each lookup, so once in this time. */
const REMEMBERED: Duration = '300s'
/** How long a cached user is used while the database fails. */
const REMEMBERED_AT_WORST: Duration = '1h'
/** For one lookup, however many callers wait for it. */
const LOOK_UP_LIMIT: Duration = '5s'

export interface KnownUsersSettings {
  /** Shared by all workers and machines; undefined gives each worker its own memory. */
  readonly redis: Redis | undefined
  /** For the user with keys, as part of the above. */
  readonly withKeysTimeout: RuntimeValue<Milliseconds>
  readonly onEvent: (event: CacheEvent) => void
}

/** Caches of recently looked-up users. */
export interface KnownUsers {
  /** `auth:privy_id:{id}`: the user with their keys. */
  readonly byPrivyId: ReadThrough<string, KnownUser>
  /** `auth:username:{name}`: the owner of a name. */
  readonly byUsername: ReadThrough<string, NameHolder>
  /**
   * Call it after adding or updating a user. Resolves when no worker uses the old value any longer.
   */
  forget(identity: Pick<Identity, 'privyId' | 'username'>): Promise<void>
  close(): void
}

/**
 * Looks a user up in the database at most once in five minutes, across all workers if there is a
 * Redis.
 */
export function rememberUsers(db: Kysely<Database>, settings: KnownUsersSettings): KnownUsers {
  const { redis, withKeysTimeout, onEvent } = settings
  const common = {
    ttl: REMEMBERED,
    grace: REMEMBERED_AT_WORST,
    timeout: LOOK_UP_LIMIT,
    onEvent,
    ...(redis === undefined ? {} : { redis }),
  }
  const byPrivyId = readThrough<string, KnownUser>('auth:privy_id', {
    ...common,
    load: (privyId) => withQueryTimeout('user with API keys', withKeysTimeout.value, () => findByPrivyId(db, privyId)),
  })
  const byUsername = readThrough<string, NameHolder>('auth:username', {
    ...common,
    // Only for its name; the lookup itself has the timeout.
    load: (username) => withQueryTimeout('user name', 'unbounded', () => findHolder(db, username)),
  })
  return {
    byPrivyId,
    byUsername,
    forget: async ({ privyId, username }) => {
      await Promise.all([byPrivyId.invalidate(privyId), byUsername.invalidate(username)])
    },
    close: () => {
      byPrivyId.close()
      byUsername.close()
    },
  }
}
