/** `punctual/batch`: one load for many keys. */

export { type Batch, type BatchOptions, batch, type Loaded, type MissingOption } from './batch.ts'
export { type BatchResultDetails, BatchResultError } from './batch-values.ts'
