import { after } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import type { LogSink } from './log-sinks.ts'

/** Written at one go: what a pipe holds. */
const BATCH = 64 * 1024
/** Pause after a failed write (reader gone, disk full) before the next is tried. */
const RETRY: Milliseconds = ms(1_000)

/**
 * A bounded buffer in front of a log's reader. Lines are written in order, one batch at a time; while the reader does not read they
 * gather here, and beyond `size` bytes the newest are dropped and counted. A batch that cannot be written is dropped too, and the next
 * is tried a second later: a reader that comes back finds a log that goes on.
 */
export class LogWriter {
  /** Called with the number of lines lost since it was last called, once lines are written again. */
  onRecovered: (lines: number) => void = () => {}

  readonly #sink: LogSink
  readonly #size: number
  readonly #batch: number
  #lines: string[] = []
  #queuedBytes = 0
  #batchLines = 0
  #state: 'idle' | 'writing' | 'broken' | 'closed' = 'idle'
  #dropped = 0
  #unreported = 0
  #onEmpty: (() => void) | null = null

  /** @param batch the most bytes of one write, unless a single line is longer; default 64 KiB */
  constructor(sink: LogSink, size: number, batch: number = BATCH) {
    this.#sink = sink
    this.#size = size
    this.#batch = batch
  }

  write(line: string): void {
    const length = Buffer.byteLength(line)
    if (this.#state === 'closed' || this.#queuedBytes + length > this.#size) {
      this.#lose(1)
      return
    }
    this.#lines.push(line)
    this.#queuedBytes += length
    if (this.#state === 'idle') this.#pump()
  }

  dropped(): number {
    return this.#dropped
  }

  async close(limit: Milliseconds): Promise<number> {
    if (this.#state === 'writing') {
      await new Promise<void>((resolve) => {
        const cancel = after(limit, resolve)
        this.#onEmpty = () => {
          cancel()
          resolve()
        }
      })
    }
    if (this.#state !== 'closed') {
      this.#lose(this.#lines.length + this.#batchLines)
      this.#lines = []
      this.#batchLines = 0
      this.#state = 'closed'
      this.#sink.close()
    }
    return this.#dropped
  }

  /** A loop, not a recursion: a sink may be done before `write` returns. */
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
    if (this.#state !== 'writing') this.#empty()
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
      this.#lose(this.#batchLines)
      this.#state = 'broken'
      after(RETRY, () => this.#mend(), { keepAlive: false })
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

  #mend(): void {
    if (this.#state !== 'broken') return
    this.#state = 'idle'
    this.#pump()
  }

  #lose(lines: number): void {
    this.#dropped += lines
    this.#unreported += lines
  }

  #empty(): void {
    this.#onEmpty?.()
    this.#onEmpty = null
  }
}
