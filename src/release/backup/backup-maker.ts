import { stat } from 'node:fs/promises'
import { ReleaseError } from '../release-error.ts'
import { runProgram } from './programs.ts'

/** Makes and restores backups of one database. */
export interface BackupMaker {
  /** File name extension: `dump`. */
  readonly extension: string
  /**
   * Checks that a backup can be made: the programs exist and fit, the server responds.
   *
   * @throws Error that says what is missing
   */
  check(): Promise<void>
  /** Bytes that a backup may need; null if unknown. */
  size(): Promise<number | null>
  /**
   * Writes the file, and verifies it by reading it back.
   *
   * @throws Error that says what failed
   */
  make(path: string, signal: AbortSignal): Promise<void>
  /** Replaces the content of the database, atomically. */
  restore(path: string, signal: AbortSignal): Promise<void>
  /**
   * Counts the other sessions that use the database; null if this kind of database cannot tell.
   *
   * @throws Error if the server could not be queried
   */
  otherSessions(): Promise<number | null>
}

/** Runs the commands of the config file; they write and read `$BACKUP_FILE`. */
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

  /** A file of unknown format can only be checked for not being empty. */
  async make(path: string, signal: AbortSignal): Promise<void> {
    await runProgram(this.#command, [], { signal, shell: true, cwd: this.#cwd, env: { BACKUP_FILE: path } })
    const size = await stat(path)
      .then((found) => found.size)
      .catch(() => 0)
    if (size === 0) {
      throw new ReleaseError(`the backup command wrote nothing to $BACKUP_FILE (${path})`, {
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
