import { stat } from 'node:fs/promises'
import { ReleaseError } from '../release-error.ts'
import { runProgram } from './programs.ts'

/** Makes copies of one database, and puts them back. */
export interface BackupMaker {
  /** Of its files: `dump`. */
  readonly extension: string
  /**
   * Looks whether a back-up could be made: the programs are there and fit, the server answers. Said at every start, not only when it is needed.
   *
   * @throws Error that says what is missing
   */
  check(): Promise<void>
  /** Bytes that a copy may need; null where that cannot be known. */
  size(): Promise<number | null>
  /**
   * Writes the file, and reads it back.
   *
   * @throws Error that says what failed
   */
  make(path: string, signal: AbortSignal): Promise<void>
  /** Puts a copy in the place of what is there, all of it or nothing. */
  restore(path: string, signal: AbortSignal): Promise<void>
  /**
   * How many others use the database now; null for a kind of database that does not tell.
   *
   * @throws Error if one that does could not be asked
   */
  otherSessions(): Promise<number | null>
}

/** By commands of the app's own: they write and read the file `$BACKUP_FILE`. */
export class CommandBackup implements BackupMaker {
  readonly extension = 'backup'
  readonly #command: string
  readonly #restoreCommand: string | null
  readonly #cwd: string

  constructor(command: string, restoreCommand: string | null, cwd: string) {
    this.#command = command
    this.#restoreCommand = restoreCommand
    this.#cwd = cwd
  }

  check(): Promise<void> {
    return Promise.resolve()
  }

  size(): Promise<null> {
    return Promise.resolve(null)
  }

  /** All that can be read back of a file of unknown form is that there is something in it. */
  async make(path: string, signal: AbortSignal): Promise<void> {
    await runProgram(this.#command, [], { signal, shell: true, cwd: this.#cwd, env: { BACKUP_FILE: path } })
    const size = await stat(path)
      .then((found) => found.size)
      .catch(() => 0)
    if (size === 0) {
      throw new ReleaseError(`the back-up command wrote nothing to $BACKUP_FILE (${path})`, {
        phase: 'backup',
        reason: 'unreadable',
      })
    }
  }

  async restore(path: string, signal: AbortSignal): Promise<void> {
    if (this.#restoreCommand === null) throw new Error('backup.restoreCommand is not set')
    await runProgram(this.#restoreCommand, [], { signal, shell: true, cwd: this.#cwd, env: { BACKUP_FILE: path } })
  }

  otherSessions(): Promise<null> {
    return Promise.resolve(null)
  }
}
