import { deserialize, serialize } from 'node:v8'
import type { Settings } from '../settings/settings.ts'

/** What a worker must know before it loads anything; it travels as one argument of its command line. */
export interface WorkerConfig {
  readonly id: number
  readonly generation: number
  /** Absolute path of the app's entry. */
  readonly entry: string
  readonly appArguments: readonly string[]
  /** Node's own flags as the app and its child processes are to see them: without those that Punctual adds. */
  readonly appFlags: readonly string[]
  /** Those in force; a worker changes them in place when it is told to. */
  readonly settings: Settings
  /** Values of the app that `punctual set` has set, as texts by name. */
  readonly set: Readonly<Record<string, string>>
  /** The settings that were set by somebody: what an app says itself outranks our defaults, but not these. */
  readonly chosen: readonly string[]
}

/** The descriptor of the watchdog's link in a worker: after stdin, stdout, stderr and the IPC channel. */
export const LINK_DESCRIPTOR = 4

/** Not JSON, which has no word for "unbounded" (Infinity). */
export function encodeWorkerConfig(config: WorkerConfig): string {
  return serialize(config).toString('base64url')
}

export function decodeWorkerConfig(text: string): WorkerConfig {
  return deserialize(Buffer.from(text, 'base64url')) as WorkerConfig
}
