import { checkOptions, type OptionNames } from '../errors/check-options.ts'
import { type Duration, readCount, readDuration } from '../resilience/duration.ts'
import type { WaitContext } from '../resilience/wait-node.ts'
import { BatchGroup } from './batch-group.ts'
import { outermostScope } from './batch-load.ts'
import type { BatchPlan } from './batch-results.ts'

/**
 * The result of `loadMany`: one value per key in the same order, or a `Map` by key. An `Error`
 * rejects its key only.
 */
export type Loaded<Key, Value> = readonly (Value | Error)[] | ReadonlyMap<Key, Value | Error>

export interface BatchOptions<Key> {
  /**
   * The most keys of one call of `loadMany`. More keys are loaded by several calls, in sequence.
   * Default: 500.
   */
  readonly max?: number
  /**
   * How long one call of `loadMany` may take, within the deadlines of its callers. Default: 30 s.
   */
  readonly timeout?: Duration
  /**
   * Returns what keys are compared by. Set it for keys that are objects. Default: the key itself.
   */
  readonly keyOf?: (key: Key) => unknown
  /** Whether values are kept until the request ends. Default: true. */
  readonly cache?: boolean
}

export interface MissingOption<Key, Value> {
  /**
   * Returns the value of a key that the `Map` does not have, e.g. `() => []`. Default: undefined.
   */
  readonly missing: (key: Key) => Value
}

const OPTIONS: OptionNames<BatchOptions<unknown> & MissingOption<unknown, unknown>> = {
  max: true,
  timeout: true,
  keyOf: true,
  cache: true,
  missing: true,
}

/** Loads one key; calls in the same turn of a request share one load. */
export interface Batch<Key, Value> {
  (key: Key): Promise<Value>
  /** Drops one kept value of this request, or all of them. Call it after a write. */
  clear(...key: [] | [key: Key]): void
}

type LoadMany<Key, Result> = (keys: readonly Key[], wait: WaitContext) => Result | PromiseLike<Result>

/**
 * Creates a function that loads single keys through `loadMany`. All keys that a request asks for in
 * one turn of the event loop go to one call of `loadMany`, each once.
 *
 *     const testsOf = batch('tests of a referral', async (ids: readonly number[]) => {
 *       const { rows } = await pool.query('select * from tests where referral_id = any($1)', [ids])
 *       return Map.groupBy(rows, (row) => row.referral_id)
 *     }, { missing: () => [] })
 *
 *     await Promise.all(rows.map(async (row) => ({ ...row, tests: await testsOf(row.id) })))
 *
 * A turn lasts until the request only waits for I/O or timers; calls after an `await` of a value
 * that is already there still belong to it. Collecting works as in DataLoader
 * (github.com/graphql/dataloader).
 *
 * Requests share neither loads nor values. Inside a request or a `withDeadline` values are kept
 * until it ends, and so is an `Error` for a single key; a failed load is not kept, and the next
 * call retries it. Outside of both nothing is kept.
 *
 * Each call of `loadMany` is a wait called `name`, in the asynchronous context of the first caller.
 * It has `timeout`, ends by the latest deadline of its callers, and is given up when all of them
 * are.
 *
 * A call rejects with the error of `loadMany`, with a `WaitTimeoutError` when it times out, and
 * with a `BatchResultError` when the result does not match the keys.
 *
 * @param name names the wait in the log and in errors; use a small fixed set of names
 * @param loadMany gets the keys in the order of their first call
 * @throws InvalidOptionError for an invalid `max` or `timeout`
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
  checkOptions(what, options, OPTIONS)
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
