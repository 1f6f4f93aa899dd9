import { type FSWatcher, linkSync, statSync, unlinkSync, watch } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { inodeOf } from './socket-addresses.ts'

/**
 * The file of a Unix socket on which workers listen. Apps remove a stale file before they listen,
 * or their own when they exit, and would cut off the other workers. So the file has a second name
 * beside it, from which it is restored.
 */
export class SocketFile {
  /** Absolute. */
  readonly path: string
  readonly #spare: string
  readonly #inode: number
  readonly #watcher: FSWatcher | null

  /** Null for a socket without a file (an abstract one), or where files cannot have two names. */
  static of(path: string): SocketFile | null {
    if (path === '' || path.startsWith('\0')) return null
    const absolute = resolve(path)
    const inode = inodeOf(absolute)
    if (inode === null) return null
    const spare = join(dirname(absolute), `.${basename(absolute)}.punctual`)
    // From an arbiter that was killed.
    attempt(() => unlinkSync(spare))
    return attempt(() => linkSync(absolute, spare)) ? new SocketFile(absolute, spare, inode) : null
  }

  private constructor(path: string, spare: string, inode: number) {
    this.path = path
    this.#spare = spare
    this.#inode = inode
    this.#watcher = this.#watch()
  }

  /** Puts the file back if it is missing; another file in its place stays. */
  restore(): void {
    if (statSync(this.path, { throwIfNoEntry: false }) !== undefined) return
    attempt(() => linkSync(this.#spare, this.path))
  }

  /** Removes the second name; the file itself is removed when its handle is closed. */
  forget(): void {
    this.#watcher?.close()
    if (inodeOf(this.#spare) === this.#inode) attempt(() => unlinkSync(this.#spare))
  }

  /** Null where files cannot be watched: then the file is restored a moment later. */
  #watch(): FSWatcher | null {
    try {
      const watcher = watch(dirname(this.path), { persistent: false }, (_, name) => {
        if (name === basename(this.path)) this.restore()
      })
      return watcher.on('error', () => watcher.close())
    } catch {
      return null
    }
  }
}

function attempt(step: () => void): boolean {
  try {
    step()
    return true
  } catch {
    return false
  }
}
