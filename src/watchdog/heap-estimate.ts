import { getHeapStatistics } from 'node:v8'
import { FULL_HEAP } from '../ipc/messages.ts'
import type { Pulse } from './pulse.ts'

/**
 * How full the main thread's heap is. The thread says so itself on every beat; what the process has grown by since then counts as heap, because
 * a heap that fills up within one turn of the loop never gets to say it.
 */
export class HeapEstimate {
  readonly #pulse: Pulse
  readonly #rss: () => number
  #beat = 0
  #rssAtBeat = 0
  #rssBefore = Number.POSITIVE_INFINITY
  #toldFull = false

  /** @param rss resident bytes of the process; to read them costs 10 microseconds */
  constructor(pulse: Pulse, rss: () => number = process.memoryUsage.rss) {
    this.#pulse = pulse
    this.#rss = rss
  }

  /** In bytes, up to the limit. To be called often: it learns at which size of the process the main thread has last turned. */
  look(): number {
    const { lastBeat, heapUsed, heapLimit } = this.#pulse
    const rss = this.#rss()
    if (lastBeat !== this.#beat) {
      this.#beat = lastBeat
      // This look may come long after the beat, on a busy machine; the one before was before it.
      this.#rssAtBeat = Math.min(rss, this.#rssBefore)
    }
    this.#rssBefore = rss
    return Math.min(heapUsed + Math.max(0, rss - this.#rssAtBeat), heapLimit)
  }

  /** Looks whether it has just become so full that it must be told at once: the process may abort any moment. */
  becameFull(): boolean {
    const { heapLimit, booting } = this.#pulse
    // What an app loads while it boots is mostly code and no heap.
    const isFull = heapLimit > 0 && !booting && this.look() > FULL_HEAP * heapLimit
    const became = isFull && !this.#toldFull
    this.#toldFull = isFull
    return became
  }
}

const FLAG = /--max[-_]old[-_]space[-_]size[= ](\d+)/g

/**
 * Bytes at which the heap of this process is full. V8's own figure counts the space for young objects in, which is of no help to a heap that is
 * full of old ones: under `--max-old-space-size=48` it says 240 MiB. So the flag counts, where there is one.
 *
 * @param flags Node's flags, as from a command line or `NODE_OPTIONS`
 */
export function heapLimit(flags: readonly string[]): number {
  const megabytes = [...flags.join(' ').matchAll(FLAG)].at(-1)?.[1]
  const limit = getHeapStatistics().heap_size_limit
  return megabytes === undefined ? limit : Math.min(limit, Number(megabytes) * 1024 * 1024)
}
