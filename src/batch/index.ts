/** `punctual/batch`: loads many keys with one call. */

export { type Batch, type BatchOptions, batch, type Loaded, type MissingOption } from './batch.ts'
export { type BatchResultDetails, BatchResultError } from './batch-results.ts'
