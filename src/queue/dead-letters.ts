import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { textOf } from './defer-events.ts'
import { inDiskLane } from './spool/disk-lane.ts'
import { ulid } from './ulid.ts'

/** An item that was given up, as it is kept. Times are ISO 8601. */
export interface DeadLetter {
  readonly id: string
  readonly item: unknown
  /** What the handler said last. */
  readonly error: { readonly name: string; readonly message: string; readonly code?: string }
  /** In how many calls that failed it was. */
  readonly attempts: number
  readonly firstFailedAt: string
  readonly lastFailedAt: string
}

/** What is kept of one queue; the oldest go first. */
interface DeadLetterBounds {
  readonly files: number
  readonly bytes: number
}
const MOST: DeadLetterBounds = { files: 10_000, bytes: 64 * 1024 * 1024 }
/** What goes when a bound is reached goes down to this share of it, or each letter from then on would have all files counted. */
const KEPT = 0.9
/** Other processes write here too: it is counted anew after so many writes, or a tenth of the files if that is more. */
const RECOUNT_AFTER = 100
const LONGEST_MESSAGE = 2_000

/**
 * The dead letters of one queue, in `<stateDir>/spool/<queue>/dead`: a file for each occasion, a line for each item. A file is written once and whole, and then
 * only replaced or removed whole, so that several processes and the command line can work on them without a lock.
 */
export class DeadLetters {
  readonly directory: string
  #files = 0
  #bytes = 0
  /** Writes until all is counted anew. */
  #recountIn = 0
  #isCounting = false
  readonly #most: DeadLetterBounds

  /** @param spool `<stateDir>/spool` */
  constructor(spool: string, queue: string, most: DeadLetterBounds = MOST) {
    this.directory = join(spool, queue, 'dead')
    this.#most = most
  }

  /**
   * Writes them to disk (fsync). Rejects when that cannot be done: then they are not safe. See also `bound`.
   *
   * @returns their file, for `withdraw`
   */
  async add(letters: readonly DeadLetter[]): Promise<string> {
    const text = letters.map((letter) => `${JSON.stringify(letter)}\n`).join('')
    const name = `${ulid()}.jsonl`
    await mkdir(this.directory, { recursive: true, mode: 0o700 })
    await this.#write(name, text)
    this.#files++
    this.#bytes += Buffer.byteLength(text)
    this.#recountIn--
    return name
  }

  /** Takes back what was added. */
  async withdraw(name: string): Promise<void> {
    await rm(join(this.directory, name), { force: true })
  }

  /**
   * Deletes the oldest when there are too many; cheap while there are not. To be called after letters were added, by whoever does not wait for it: there may be thousands of
   * files to look at.
   *
   * @returns how many letters had to go
   */
  async bound(): Promise<number> {
    const { files, bytes } = this.#most
    if (this.#isCounting || (this.#recountIn > 0 && this.#files <= files && this.#bytes <= bytes)) return 0
    this.#isCounting = true
    try {
      return await this.#deleteOldest()
    } finally {
      this.#isCounting = false
    }
  }

  /** All that can be read, the oldest first. */
  async list(): Promise<readonly DeadLetter[]> {
    const letters: DeadLetter[] = []
    for (const name of await this.#names()) letters.push(...(await this.#read(name)))
    return letters
  }

  /** How many there are, without keeping them. */
  async count(): Promise<number> {
    let count = 0
    for (const name of await this.#names()) count += (await this.#read(name)).length
    return count
  }

  /** Takes those out that `wanted` says. What two do at a time may bring one back; it never loses one. */
  async remove(wanted: (letter: DeadLetter) => boolean): Promise<number> {
    let removed = 0
    for (const name of await this.#names()) {
      const letters = await this.#read(name)
      const kept = letters.filter((letter) => !wanted(letter))
      if (kept.length === letters.length) continue
      removed += letters.length - kept.length
      if (kept.length === 0) await rm(join(this.directory, name), { force: true })
      else await this.#write(name, kept.map((letter) => `${JSON.stringify(letter)}\n`).join(''))
    }
    return removed
  }

  async #deleteOldest(): Promise<number> {
    const names = await inDiskLane(() => this.#names())
    const sizes: number[] = []
    for (const name of names) sizes.push(await inDiskLane(() => this.#sizeOf(name)))
    this.#files = names.length
    this.#bytes = sizes.reduce((sum, size) => sum + size, 0)
    this.#recountIn = Math.max(RECOUNT_AFTER, this.#files / 10)
    const { files, bytes } = this.#most
    if (this.#files <= files && this.#bytes <= bytes) return 0
    let gone = 0
    // The last one is never too many, however large.
    for (const [index, name] of names.slice(0, -1).entries()) {
      if (this.#files <= files * KEPT && this.#bytes <= bytes * KEPT) break
      gone += (await inDiskLane(() => this.#read(name))).length
      await inDiskLane(() => this.withdraw(name))
      this.#files--
      this.#bytes -= sizes[index] ?? 0
    }
    return gone
  }

  #sizeOf(name: string): Promise<number> {
    return stat(join(this.directory, name)).then(
      ({ size }) => size,
      () => 0,
    )
  }

  async #names(): Promise<readonly string[]> {
    const names = await readdir(this.directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw error
    })
    return names.filter((name) => name.endsWith('.jsonl')).sort()
  }

  /** A line that is none is left out: somebody has edited the file. */
  async #read(name: string): Promise<readonly DeadLetter[]> {
    const text = await readFile(join(this.directory, name), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''
      throw error
    })
    return text.split('\n').flatMap((line) => {
      try {
        const letter: unknown = JSON.parse(line)
        return isDeadLetter(letter) ? [letter] : []
      } catch {
        return []
      }
    })
  }

  async #write(name: string, text: string): Promise<void> {
    const path = join(this.directory, `.${ulid()}.tmp`)
    try {
      const file = await open(path, 'wx', 0o600)
      try {
        await file.writeFile(text)
        await file.datasync()
      } finally {
        await file.close()
      }
      await rename(path, join(this.directory, name))
    } catch (error) {
      await rm(path, { force: true }).catch(() => {})
      throw error
    }
    await this.#syncDirectory()
  }

  /** So that the file's name survives the loss of power too; not every file system can. */
  async #syncDirectory(): Promise<void> {
    const directory = await open(this.directory, 'r')
    try {
      await directory.sync()
    } catch {
      // The name is as safe as this file system makes it.
    } finally {
      await directory.close()
    }
  }
}

/** What of an error is kept. */
export function keptError(error: unknown): DeadLetter['error'] {
  if (!(error instanceof Error)) return { name: 'unknown', message: textOf(error).slice(0, LONGEST_MESSAGE) }
  const { code } = error as { readonly code?: unknown }
  const kept = { name: error.name, message: error.message.slice(0, LONGEST_MESSAGE) }
  return typeof code === 'string' ? { ...kept, code } : kept
}

function isDeadLetter(value: unknown): value is DeadLetter {
  return typeof value === 'object' && value !== null && typeof (value as DeadLetter).id === 'string' && 'item' in value
}
