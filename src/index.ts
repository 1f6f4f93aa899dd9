/** The toolkit: what an app imports. Everything here also works, to no effect, in an app that does not run under Punctual. */

export { defineConfig, type PunctualConfig } from './settings/define-config.ts'
export { longTurn } from './worker/long-turn.ts'
