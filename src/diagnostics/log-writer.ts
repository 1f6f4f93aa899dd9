import { after } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import { promiseAtMost } from '../resilience/wait-at-most.ts'
import type { LogSink } from './log-sinks.ts'

/** The size of a pipe. */
const DEFAULT_BATCH_SIZE = 64 * 1024
/** Delay after a failed write (no reader, disk full) before the next. */
const RETRY_DELAY: Milliseconds = ms(1_000)

/**
 * A bounded buffer in front of the reader of a log. Lines are written in order, one batch at a
 * time. While the reader is blocked they are buffered; beyond `size` bytes the newest are dropped
 * and counted. A batch that cannot be written is dropped, and the next is tried a second later.
 */
export class LogWriter {
  /** Called when lines are written again, with the number of lines lost since the last call. */
  onRecovered: (lines: number) => void = () => {}

  readonly #sink: LogSink
  readonly #size: number
  readonly #batch: number
  #lines: string[] = []
  #queuedBytes = 0
  #batchLines = 0
  /** `failed`: the last write failed, and the next one waits for the retry delay. */
  #state: 'idle' | 'writing' | 'failed' | 'closed' = 'idle'
  #dropped = 0
  #unreported = 0
  #onIdle: (() => void) | null = null

  /** @param batch maximum bytes of one write, unless a single line is longer; default 64 KiB */
  constructor(sink: LogSink, size: number, batch: number = DEFAULT_BATCH_SIZE) {
    this.#sink = sink
    this.#size = size
    this.#batch = batch
  }

  /** @param length of the line in bytes, where the caller knows it */
  write(line: string, length: number = Buffer.byteLength(line)): void {
    if (this.#state === 'closed' || this.#queuedBytes + length > this.#size) {
      this.#countLost(1)
      return
    }
    this.#lines.push(line)
    this.#queuedBytes += length
    if (this.#state === 'idle') this.#pump()
  }

  dropped(): number {
    return this.#dropped
  }

  /** Resolves when everything has been written, or after the timeout. */
  async flush(timeout: Milliseconds): Promise<void> {
    if (this.#state !== 'writing') return
    await promiseAtMost(timeout, (resolve) => {
      this.#onIdle = () => resolve(undefined)
    })
  }

  /** The process exits: hands over what is buffered, without waiting for the batch before it. */
  flushNow(): void {
    if (this.#lines.length === 0 || this.#state === 'closed' || this.#state === 'failed') return
    const bytes = Buffer.from(this.#lines.join(''))
    this.#lines = []
    this.#queuedBytes = 0
    this.#sink.write(bytes, () => {})
  }

  async close(timeout: Milliseconds): Promise<number> {
    await this.flush(timeout)
    if (this.#state !== 'closed') {
      this.#countLost(this.#lines.length + this.#batchLines)
      this.#lines = []
      this.#batchLines = 0
      this.#state = 'closed'
      this.#sink.close()
    }
    return this.#dropped
  }

  /** A loop instead of recursion, since a sink may call `done` before `write` returns. */
  #pump(): void {
    while (this.#state === 'idle' && this.#lines.length > 0) {
      this.#state = 'writing'
      const batch = this.#takeBatch()
      let returned = false
      this.#sink.write(batch, (error) => {
        this.#batchDone(error)
        if (returned) this.#pump()
      })
      returned = true
    }
    if (this.#state === 'writing') return
    this.#onIdle?.()
    this.#onIdle = null
  }

  #takeBatch(): Buffer {
    let count = 0
    let length = 0
    for (const line of this.#lines) {
      const bytes = Buffer.byteLength(line)
      if (count > 0 && length + bytes > this.#batch) break
      count += 1
      length += bytes
    }
    const batch = Buffer.from(this.#lines.splice(0, count).join(''))
    this.#queuedBytes -= batch.length
    this.#batchLines = count
    return batch
  }

  #batchDone(error: Error | null): void {
    if (this.#state === 'closed') return
    if (error !== null) {
      this.#countLost(this.#batchLines)
      this.#state = 'failed'
      after(RETRY_DELAY, () => this.#retry(), { keepAlive: false })
    } else {
      this.#state = 'idle'
    }
    this.#batchLines = 0
    if (error === null && this.#lines.length === 0 && this.#unreported > 0) {
      const lines = this.#unreported
      this.#unreported = 0
      this.onRecovered(lines)
    }
  }

  #retry(): void {
    if (this.#state !== 'failed') return
    this.#state = 'idle'
    this.#pump()
  }

  #countLost(lines: number): void {
    this.#dropped += lines
    this.#unreported += lines
  }
}
