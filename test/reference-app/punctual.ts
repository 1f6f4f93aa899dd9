// An app of your own writes `from 'punctual'` instead of importing this file: it lies in the repository of Punctual itself.
export * from '../../src/index.ts'
