import type { Milliseconds } from '../../resilience/duration.ts'

export interface SpoolOptions {
  /** `<stateDir>/spool`; the spool's own files are in `<directory>/<queue>/<owner>`. */
  readonly directory: string
  /** Safe as the name of a directory. */
  readonly queue: string
  /** `thisOwner()`. */
  readonly owner: string
  /** What an item on disk survives: the death of the process, or also that of the machine, `syncEvery` after it was appended. */
  readonly durability: 'process' | 'disk'
  /** How long items gather before they are synced together. Only for `disk`. */
  readonly syncEvery: Milliseconds
  /** A segment of this size is followed by the next. Default 1 MiB. */
  readonly segmentBytes?: number
  /** Items that are not settled, in bytes; beyond, `append` answers null. The files take up to twice as much, and two segments. */
  readonly maxBytes: number
  /** Called in a microtask of its own after each change, the first included if the spool starts degraded. */
  readonly onState: (state: SpoolState) => void
}

export type SpoolState =
  | { readonly state: 'ok' }
  /**
   * `reason` is an error code of the file system (`ENOSPC`), `slow`, `files-full` (files have reached twice `maxBytes`) or `unknown`; `why` is the same as a clause: "no space
   * left on /…".
   */
  | { readonly state: 'degraded'; readonly reason: string; readonly why: string }

/** An id in two parts. The first is most often that of the id before, and so stands already where it is to be written. */
export interface SplitId {
  /** 24 characters. */
  readonly head: string
  /** Two more. */
  readonly tail: string
}

/** Where an item stands. Good for `settle` of the spool, or of the adoption, that it came from. */
export interface Place {
  readonly segment: number
  readonly index: number
  /** Bytes on disk. */
  readonly size: number
}

/** A place that is filled in by `append`: an item can be its own, so that no object is made for it. */
export interface OwnPlace {
  segment: number
  index: number
  size: number
}

/**
 * The write-ahead log of one queue of one process. What is in it survives SIGKILL. It never throws and never waits for a disk on purpose: when the disk fails
 * or is slow it degrades, which means that it writes nothing, and tries in the background until the disk works again.
 */
export interface Spool {
  /**
   * Writes an item, in microseconds. Null: it is not on disk (degraded, closed, above `maxBytes`, or larger than 64 MiB), and the caller is the only one who has it.
   *
   * @param id 26 characters
   * @param begun `monotonicNow()`, if the caller has just read it
   * @param into filled in and returned, unless null is; default a new one
   */
  append(id: string | SplitId, json: string, begun?: Milliseconds, into?: OwnPlace): Place | null
  /** These were handled, dead-lettered or dropped, and must not come back. A crash repeats those settled while the spool was degraded. */
  settle(places: readonly Place[]): void
  /**
   * With `durability: 'disk'`: resolves when what was appended so far, and is not settled, is on the disk, else at once. A disk that hangs is waited for until `close` has.
   *
   * @throws PunctualError (rejects, `PUNCTUAL_QUEUE_NOT_SYNCED`) while something is left that the disk refused, or that was not synced when the spool was closed; it is in the operating system's hands then
   */
  synced(): Promise<void>
  readonly state: SpoolState
  /** Of its files. */
  readonly bytes: number
  /** Leaves what is not settled for the next. Takes at most five seconds, however the disk is. */
  close(): Promise<void>
  /** The same for the last moment of a process. */
  closeSync(): void
}
