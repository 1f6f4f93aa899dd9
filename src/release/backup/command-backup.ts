import { stat } from 'node:fs/promises'
import { ReleaseError } from '../release-error.ts'
import type { BackupMaker } from './backup-maker.ts'
import { runTool } from './run-tool.ts'

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
    await runTool(this.#command, [], { signal, shell: true, cwd: this.#cwd, env: { BACKUP_FILE: path } })
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
    await runTool(this.#restoreCommand, [], { signal, shell: true, cwd: this.#cwd, env: { BACKUP_FILE: path } })
  }

  others(): Promise<null> {
    return Promise.resolve(null)
  }
}
