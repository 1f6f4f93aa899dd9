/** `punctual/runtime`: values that `punctual set` changes while the app runs. */
export { type RuntimeTimeoutOptions, runtimeTimeout } from './runtime-timeout.ts'
export { type RuntimeValue, type RuntimeValueOptions, runtimeValue } from './runtime-value.ts'
