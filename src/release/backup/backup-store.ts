import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, readdir, rename, rm, stat, statfs } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { ReleaseBackup } from '../../diagnostics/release-report.ts'
import { monotonicNow, wallClock } from '../../resilience/clock.ts'
import { makeDirectory } from '../../system/make-directory.ts'
import type { PlannedBackup } from '../release-config.ts'
import { ReleaseError } from '../release-error.ts'
import type { AppIdentity } from '../release-identity.ts'
import { type BackupMaker, CommandBackup } from './backup-maker.ts'
import { PostgresBackup } from './postgres-backup.ts'
import { SqliteBackup } from './sqlite-backup.ts'

/** Bytes to leave free on the disk. */
const MIN_FREE = 16 * 1024 * 1024
/** Follows the name of the app in a file name: `20261122T071835Z-1.4.0.dump`. */
const STAMP = /^\d{8}T\d{6}Z-/
/** Milliseconds after which an unfinished file is deleted. */
const LEFTOVER_AGE = 86_400_000

/** The backups of one app: makes, verifies, prunes and restores them. */
export class BackupStore {
  readonly #plan: PlannedBackup
  readonly #maker: BackupMaker
  readonly #front: string

  constructor(
    plan: PlannedBackup,
    options: { readonly configFile: string; readonly cwd: string; readonly app: AppIdentity },
  ) {
    const { configFile, cwd, app } = options
    const { database, command, restoreCommand, tools } = plan
    this.#plan = plan
    this.#front = sanitize(app.name)
    if (command !== null) this.#maker = new CommandBackup(command, restoreCommand, cwd)
    else if (database?.kind === 'postgres')
      this.#maker = new PostgresBackup({ configFile, url: database.url, app, tools })
    else this.#maker = new SqliteBackup(database?.path ?? '')
  }

  /** @throws Error that says why no backup can be made */
  check(): Promise<void> {
    return this.#maker.check()
  }

  /** Counts the other sessions that use the database; see `BackupMaker.otherSessions`. */
  otherSessions(): Promise<number | null> {
    return this.#maker.otherSessions()
  }

  /** Makes a backup. @throws Error that says what failed; no file is left */
  async make(version: string, signal: AbortSignal): Promise<ReleaseBackup> {
    const start = monotonicNow()
    const { directory } = this.#plan
    await makeDirectory(directory)
    await this.#checkFreeSpace()
    const stamp = wallClock()
      .toISOString()
      .replace(/[-:]|\.\d+/g, '')
    const path = join(directory, `${this.#front}-${stamp}-${sanitize(version)}.${this.#maker.extension}`)
    const partial = `${path}.partial`
    try {
      // Only its owner may read it, regardless of the umask of the program.
      await (await open(partial, 'w', 0o600)).close()
      if (this.#maker.extension === 'backup') await rm(partial)
      await this.#maker.make(partial, signal)
      const file = await open(partial, 'r+')
      try {
        await file.chmod(0o600)
        await file.sync()
      } finally {
        await file.close()
      }
      const [{ size: bytes }, sha256] = [await stat(partial), await digest(partial)]
      await rename(partial, path)
      await this.#prune()
      return { path, bytes, sha256, durationMs: Math.round(monotonicNow() - start) }
    } catch (error) {
      for (const end of ['', '-journal', '-wal', '-shm']) await rm(`${partial}${end}`, { force: true })
      throw error
    }
  }

  /** Restores a backup. @throws Error that says what failed; the database is unchanged */
  async restore(backup: ReleaseBackup, host: string, signal: AbortSignal): Promise<void> {
    const file = await stat(backup.path).catch(() => null)
    if (file === null) {
      const where = host === hostname() ? '' : `; it was made on ${host}`
      throw new ReleaseError(`the backup ${backup.path} does not exist${where}`, {
        phase: 'restore',
        reason: 'missing',
        path: backup.path,
      })
    }
    if ((await digest(backup.path)) !== backup.sha256) {
      throw new ReleaseError(`the backup ${backup.path} was altered: its SHA-256 differs`, {
        phase: 'restore',
        reason: 'altered',
        path: backup.path,
      })
    }
    await this.#maker.restore(backup.path, signal)
  }

  async #checkFreeSpace(): Promise<void> {
    const { directory } = this.#plan
    const need = await this.#maker.size()
    if (need === null) return
    const { bavail, bsize } = await statfs(directory)
    const free = bavail * bsize
    if (free >= need + MIN_FREE) return
    throw new ReleaseError(
      `the disk of ${directory} has ${formatBytes(free)} free, but a backup may need ${formatBytes(need + MIN_FREE)}; free some space, or set another backup.directory`,
      { phase: 'backup', reason: 'disk-full', free, needed: need + MIN_FREE },
    )
  }

  async #prune(): Promise<void> {
    const { directory, keep } = this.#plan
    const ours = (await readdir(directory)).filter(
      (name) => name.startsWith(`${this.#front}-`) && STAMP.test(name.slice(this.#front.length + 1)),
    )
    const finished = ours.filter((name) => name.endsWith(`.${this.#maker.extension}`)).toSorted()
    for (const name of finished.slice(0, Math.max(0, finished.length - keep)))
      await rm(join(directory, name), { force: true })
    for (const name of ours.filter((one) => /\.partial(-\w+)?$|\.sql$/.test(one))) {
      const found = await stat(join(directory, name)).catch(() => null)
      if (found !== null && wallClock().getTime() - found.mtimeMs > LEFTOVER_AGE)
        await rm(join(directory, name), { force: true })
    }
  }
}

function sanitize(text: string): string {
  return text.replace(/[^\w.+-]+/g, '_').slice(0, 80)
}

function digest(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const hash = createHash('sha256')
    createReadStream(path)
      .on('error', reject)
      .on('data', (chunk) => hash.update(chunk))
      .on('end', () => resolve(hash.digest('hex')))
  })
}

/** Formats `12.3 MiB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`
  if (bytes < 1024 ** 3) return `${(bytes / 1024 ** 2).toFixed(1)} MiB`
  return `${(bytes / 1024 ** 3).toFixed(1)} GiB`
}
