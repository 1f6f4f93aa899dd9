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

/** How long somebody is remembered; he is stamped as seen when he is looked up, so once in this time. */
const REMEMBERED: Duration = '300s'
/** While the database fails, he is answered with what was known of him for so long. */
const REMEMBERED_AT_WORST: Duration = '1h'
/** For one look-up, whoever waits for it. */
const LOOK_UP_LIMIT: Duration = '5s'

export interface KnownUsersSettings {
  /** Shared by all workers and machines; undefined leaves each worker its own memory. */
  readonly redis: Redis | undefined
  /** For the user and his keys, of the above. */
  readonly withKeysTimeout: RuntimeValue<Milliseconds>
  readonly onEvent: (event: CacheEvent) => void
}

/** Who has been looked up a short while ago. */
export interface KnownUsers {
  /** Under `auth:privy_id:{id}`: the user with his keys. */
  readonly byPrivyId: ReadThrough<string, KnownUser>
  /** Under `auth:username:{name}`: whose name it is. */
  readonly byUsername: ReadThrough<string, NameHolder>
  /** To be called when he was added or updated; resolves when no worker answers with what was before. */
  forget(identity: Pick<Identity, 'privyId' | 'username'>): Promise<void>
  close(): void
}

/** Look-ups that are asked of the database once in five minutes, of all workers together where there is a Redis. */
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
    // For its name; how long it may take is what is left of the look-up.
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
