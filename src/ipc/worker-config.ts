import { readSync } from 'node:fs'
import { deserialize, serialize } from 'node:v8'
import type { Settings } from '../settings/settings.ts'

/**
 * What a worker must know before it loads anything: the first message on the watchdog's link. Other
 * users of the machine can read a command line, and child processes inherit the environment.
 */
export interface WorkerConfig {
  readonly id: number
  readonly generation: number
  /** When connections are accepted with `readyPath`: at once, if nothing has served yet. */
  readonly accepts: 'at-once' | 'when-ready'
  /** Absolute paths of the Unix sockets on which other workers listen. */
  readonly socketFiles: readonly string[]
  /** Absolute path of the app's entry. */
  readonly entry: string
  readonly appArguments: readonly string[]
  /** Node's flags as the app and its child processes see them: without those that Punctual adds. */
  readonly appFlags: readonly string[]
  /** The settings in effect. A worker changes them in place (`applyChange`). */
  readonly settings: Settings
  /** Runtime values of the app that `punctual set` has set, as texts by name. */
  readonly set: Readonly<Record<string, string>>
  /**
   * Settings with an explicit value. Options in the app's code override defaults, but not these.
   */
  readonly chosen: readonly string[]
}

/** The file descriptor of the watchdog's link in a worker, after stdio and the IPC channel. */
export const LINK_DESCRIPTOR = 4

/** Bytes of the length in front of the config. */
const PREFIX = 4
/** Milliseconds between two attempts to read from a link that does not block. */
const RETRY_DELAY = 1

/** Uses V8's serialisation because JSON cannot represent `unbounded` (Infinity). */
export function encodeWorkerConfig(config: WorkerConfig): Buffer {
  const body = serialize(config)
  const prefix = Buffer.alloc(PREFIX)
  prefix.writeUInt32BE(body.length)
  return Buffer.concat([prefix, body])
}

/**
 * Reads the config, and nothing behind it: what follows is for the watchdog thread. Blocks until
 * the arbiter has sent it, which kills a worker that has not booted at `bootTimeout`. Throws if the
 * arbiter has died.
 */
export function readWorkerConfig(descriptor: number = LINK_DESCRIPTOR): WorkerConfig {
  return deserialize(readExactly(descriptor, readExactly(descriptor, PREFIX).readUInt32BE())) as WorkerConfig
}

function readExactly(descriptor: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; ) {
    const read = readAvailable(descriptor, bytes, at)
    if (read === 0) throw new Error('the arbiter closed the link before it sent the configuration')
    at += Math.max(0, read)
  }
  return bytes
}

/** The number of bytes; -1 if there are none yet. */
function readAvailable(descriptor: number, bytes: Buffer, at: number): number {
  try {
    return readSync(descriptor, bytes, at, bytes.length - at, null)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_DELAY)
    return -1
  }
}

/** Some of the settings as JSON; Infinity is the word `unbounded`. */
export type SettingsChange = Readonly<Record<string, string | number | readonly string[]>>

const UNBOUNDED_TEXT = 'unbounded'

/** The change that gives a worker the values of these settings. */
export function encodeChange(settings: Settings, names: readonly (keyof Settings)[]): SettingsChange {
  return Object.fromEntries(
    names.map((name) => [name, settings[name] === Number.POSITIVE_INFINITY ? UNBOUNDED_TEXT : settings[name]]),
  )
}

/**
 * Changes the settings of this process in place. Code that reads a field when it needs it, and
 * keeps no copy, sees the new value. The arbiter replaces its settings object instead.
 */
export function applyChange(settings: Settings, change: SettingsChange): void {
  for (const [name, value] of Object.entries(change)) {
    const target = settings as unknown as Record<string, unknown>
    target[name] = value === UNBOUNDED_TEXT ? Number.POSITIVE_INFINITY : value
  }
}
