/** The toolkit: what an app imports. Everything here also works, to no effect, in an app that does not run under Punctual. */
export type { ErrorCode } from './errors/codes.ts'
export { PunctualError } from './errors/punctual-error.ts'
export { defineConfig, type PunctualConfig } from './settings/define-config.ts'
export { longTurn } from './worker/long-turn.ts'
