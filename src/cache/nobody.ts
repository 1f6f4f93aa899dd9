import { AsyncResource } from 'node:async_hooks'

const nobody = new AsyncResource('PunctualCacheLoad')

/** Loads belong to nobody's request: they begin in the context this file was loaded in, not in that of the caller who happened to come first. */
export function asNobody<Result>(begin: () => Result): Result {
  return nobody.runInAsyncScope(begin)
}
