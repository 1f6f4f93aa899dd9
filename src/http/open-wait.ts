/** Something a request waits for. */
export interface OpenWait {
  /** The name of a wait, or what could be guessed of one that has none: `127.0.0.1:5432 (postgresql)`. */
  readonly name: string
  /** Monotonic milliseconds. */
  readonly since: number
  /** Of a wait with a name: what was seen inside it that has none. Left out where nothing was. */
  readonly via?: readonly string[]
}
