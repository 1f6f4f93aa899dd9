import { unlinkSync } from 'node:fs'
import { unlink } from 'node:fs/promises'
import { inDiskLane } from './disk-lane.ts'

/** Files that nobody needs any more. They are removed in the background; one that cannot be is tried again with the next sweep. */
export class Removals {
  readonly #paths = new Set<string>()
  #sweeping: Promise<void> | null = null

  add(path: string): void {
    this.#paths.add(path)
    void this.sweep()
  }

  /** Never rejects. */
  sweep(): Promise<void> {
    if (this.#paths.size === 0) return Promise.resolve()
    this.#sweeping ??= inDiskLane(() => this.#removeAll()).finally(() => {
      this.#sweeping = null
    })
    return this.#sweeping
  }

  sweepSync(): void {
    for (const path of this.#paths) {
      try {
        unlinkSync(path)
        this.#paths.delete(path)
      } catch {
        // It is gone already, or whoever adopts it handles some of its items again.
      }
    }
  }

  async #removeAll(): Promise<void> {
    // What is added meanwhile is iterated too.
    for (const path of this.#paths) {
      try {
        await unlink(path)
        this.#paths.delete(path)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') this.#paths.delete(path)
      }
    }
  }
}
