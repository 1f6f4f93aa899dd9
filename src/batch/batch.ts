import { type Duration, readCount, readDuration } from '../resilience/duration.ts'
import type { WaitContext } from '../resilience/wait-node.ts'
import { BatchGroup } from './batch-group.ts'
import type { BatchPlan } from './batch-plan.ts'
import { outermostScope } from './batch-scope.ts'

/** What `loadMany` gives for its keys: a value for each, in their order, or a map. An `Error` in place of a value is for that key alone. */
export type Loaded<Key, Value> = readonly (Value | Error)[] | ReadonlyMap<Key, Value | Error>

export interface BatchOptions<Key> {
  /** Most keys of one call of `loadMany`; more are loaded by several calls, one after the other. Default: 500. */
  readonly max?: number
  /** How long one call of `loadMany` may take, besides what is left to its callers. Default: 30 s. */
  readonly timeout?: Duration
  /** By what keys are compared, where they are objects: keys for which it gives the same are one. Default: the key itself. */
  readonly keyOf?: (key: Key) => unknown
  /** Whether what was loaded is kept until the request ends. Default: true. */
  readonly cache?: boolean
}

export interface MissingOption<Key, Value> {
  /** What a key gets that the map of `loadMany` does not have, e.g. `() => []`. Default: undefined. */
  readonly missing: (key: Key) => Value
}

/** Loads by key; calls in one turn of a request are one load. */
export interface Batch<Key, Value> {
  (key: Key): Promise<Value>
  /** Forgets what was loaded in this request: for this key, or all of it. For after a write. Outside of requests nothing is kept. */
  clear(...key: [] | [key: Key]): void
}

type LoadMany<Key, Given> = (keys: readonly Key[], wait: WaitContext) => Given | PromiseLike<Given>

/**
 * Makes one load out of many: all keys that a request asks for within one turn of the event loop go to `loadMany` together, each once.
 *
 *     const testsOf = batch('tests of a referral', async (ids: readonly number[]) => {
 *       const { rows } = await pool.query('select * from referral_tests where referral_id = any($1)', [ids])
 *       return Map.groupBy(rows, (row) => row.referral_id)
 *     }, { missing: () => [] })
 *
 *     await Promise.all(referrals.map(async (referral) => ({ ...referral, tests: await testsOf(referral.id) })))
 *
 * A turn lasts until nothing is left to do but wait for something outside: calls after an `await` of what is there already still belong to it.
 * Requests share nothing, neither loads nor results. Within one, and within `withDeadline`, results are kept until it ends; so is an `Error` given for one
 * key, but not the failure of a whole load, which is tried again by the next who asks. Outside of both, each turn stands alone and nothing is kept.
 *
 * Each call of `loadMany` is a wait called `name`: it has `limit`, ends by the deadline of those who asked, the latest of them if they differ, and is given
 * up when all of them are. It runs in the asynchronous context of whoever asked first. It rejects, for all its keys, as `loadMany` does;
 * with a `WaitTimeoutError` when it runs out; with a `BatchResultError` when what it gives does not go with the keys.
 *
 * The way of collecting calls is that of DataLoader (github.com/graphql/dataloader).
 *
 * @param name what is loaded, for list of waits, log and errors; from a small fixed set
 * @param loadMany is given the keys, each once, in the order they were first asked for
 * @throws InvalidOptionError for a `max` or `limit` that is not allowed
 */
export function batch<Key, Value>(
  name: string,
  loadMany: LoadMany<Key, readonly (Value | Error)[]>,
  options?: BatchOptions<Key>,
): Batch<Key, Value>
export function batch<Key, Value>(
  name: string,
  loadMany: LoadMany<Key, ReadonlyMap<Key, Value | Error>>,
  options: BatchOptions<Key> & MissingOption<Key, NoInfer<Value>>,
): Batch<Key, Value>
export function batch<Key, Value>(
  name: string,
  loadMany: LoadMany<Key, ReadonlyMap<Key, Value | Error>>,
  options?: BatchOptions<Key>,
): Batch<Key, Value | undefined>
export function batch<Key, Value>(
  name: string,
  loadMany: LoadMany<Key, Loaded<Key, Value>>,
  options: BatchOptions<Key> & Partial<MissingOption<Key, Value>> = {},
): Batch<Key, Value | undefined> {
  const what = `batch("${name}")`
  const plan: BatchPlan<Key, Value | undefined> = {
    name,
    loadMany,
    max: readCount(what, 'max', options.max ?? 500, 1),
    timeout: readDuration(what, 'timeout', options.timeout ?? '30s'),
    identityOf: options.keyOf ?? ((key) => key),
    missing: options.missing ?? (() => undefined),
  }
  const groups = new WeakMap<object, BatchGroup<Key, Value | undefined>>()
  const outside = new BatchGroup(plan, false)
  const groupHere = (): BatchGroup<Key, Value | undefined> => {
    const scope = outermostScope()
    if (scope === undefined) return outside
    let group = groups.get(scope)
    if (group === undefined) {
      group = new BatchGroup(plan, options.cache ?? true)
      groups.set(scope, group)
    }
    return group
  }
  return Object.assign((key: Key) => groupHere().load(key), {
    clear: (...key: [] | [key: Key]) => groupHere().clear(...key),
  })
}
