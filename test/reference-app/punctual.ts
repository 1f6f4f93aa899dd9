// Your own app imports from 'punctual', 'punctual/postgres' and so on instead of this file.

export * from '../../src/batch/index.ts'
export * from '../../src/cache/index.ts'
export * from '../../src/index.ts'
export * from '../../src/postgres/index.ts'
export * from '../../src/queue/index.ts'
export * from '../../src/routes/index.ts'
export * from '../../src/runtime/index.ts'
export * from '../../src/sqlite/index.ts'
export * from '../../src/testing.ts'
