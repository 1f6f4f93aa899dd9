import { getHeapStatistics } from 'node:v8'
import { FULL_HEAP } from '../ipc/messages.ts'
import type { Pulse } from './pulse.ts'

const FLAG = /--max[-_]old[-_]space[-_]size[= ](\d+)/g

/**
 * The bytes at which the heap of this process is full. V8's own figure includes the space for young
 * objects, which does not help a heap full of old ones: with `--max-old-space-size=48` it says
 * 240 MiB. So the flag counts where there is one.
 *
 * @param flags Node's flags, as from a command line or `NODE_OPTIONS`
 */
export function heapLimit(flags: readonly string[]): number {
  const megabytes = [...flags.join(' ').matchAll(FLAG)].at(-1)?.[1]
  const limit = getHeapStatistics().heap_size_limit
  return megabytes === undefined ? limit : Math.min(limit, Number(megabytes) * 1024 * 1024)
}

/**
 * Estimates how full the main thread's heap is. The main thread sets the figure on every heartbeat;
 * what the process has grown by since then counts as heap, because a heap that fills up within one
 * turn of the event loop is never reported by the thread itself.
 */
export class HeapEstimate {
  readonly #pulse: Pulse
  readonly #rss: () => number
  #beat = 0
  #rssAtBeat = 0
  #rssBefore = Number.POSITIVE_INFINITY
  #wasFull = false

  /** @param rss resident bytes of the process; reading them takes 10 µs */
  constructor(pulse: Pulse, rss: () => number = process.memoryUsage.rss) {
    this.#pulse = pulse
    this.#rss = rss
  }

  /**
   * The estimate in bytes, at most the limit. Call it often: it learns the size of the process at
   * the last heartbeat.
   */
  look(): number {
    const { lastBeat, heapUsed, heapLimit } = this.#pulse
    const rss = this.#rss()
    if (lastBeat !== this.#beat) {
      this.#beat = lastBeat
      // On a busy machine this look may come long after the heartbeat; the look before preceded it.
      this.#rssAtBeat = Math.min(rss, this.#rssBefore)
    }
    this.#rssBefore = rss
    return Math.min(heapUsed + Math.max(0, rss - this.#rssAtBeat), heapLimit)
  }

  /** True once each time the heap becomes full: the process may abort at any moment. */
  becameFull(): boolean {
    const { heapLimit, booting } = this.#pulse
    // While an app boots, the process grows by code, which is not heap.
    const isFull = heapLimit > 0 && !booting && this.look() > FULL_HEAP * heapLimit
    const became = isFull && !this.#wasFull
    this.#wasFull = isFull
    return became
  }
}
