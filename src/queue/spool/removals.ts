import { unlinkSync } from 'node:fs'
import { unlink } from 'node:fs/promises'
import { inDiskLane } from './disk-lane.ts'

/** Files that nobody needs any more. They are removed in the background; one that cannot be is tried again with the next sweep. */
export class Removals {
  readonly #paths = new Set<string>()
  #sweeping: Promise<void> | null = null

  /** Not yet removed. */
  get size(): number {
    return this.#paths.size
  }

  add(path: string): void {
    this.#paths.add(path)
    void this.sweep()
  }

  /** Never rejects. */
  sweep(): Promise<void> {
    if (this.#paths.size === 0) return Promise.resolve()
    this.#sweeping ??= this.#removeAll().finally(() => {
      this.#sweeping = null
    })
    return this.#sweeping
  }

  sweepSync(): void {
    for (const path of this.#paths) {
      try {
        unlinkSync(path)
        this.#paths.delete(path)
      } catch (error) {
        // Else whoever adopts it handles some of its items again.
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') this.#paths.delete(path)
      }
    }
  }

  async #removeAll(): Promise<void> {
    // What is added meanwhile is iterated too.
    for (const path of this.#paths) {
      try {
        await inDiskLane(() => unlink(path))
        this.#paths.delete(path)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') this.#paths.delete(path)
      }
    }
  }
}
