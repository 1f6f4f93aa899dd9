/** `punctual/runtime`: values that `punctual set` changes while the app runs. */
export {
  type RuntimeTimeoutOptions,
  type RuntimeValue,
  type RuntimeValueOptions,
  runtimeTimeout,
  runtimeValue,
} from './runtime-value.ts'
