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

/** Left free on the disk at least, whatever the database says of its size. */
const SPARE = 16 * 1024 * 1024
/** `20261122T071835Z-1.4.0.dump`, with what names the app in front. */
const NAME = /^\d{8}T\d{6}Z-/
/** Age in milliseconds from which an unfinished file is nobody's any more. */
const LEFTOVER = 86_400_000

/** The back-ups of one app: made, read back, kept bounded, restored. */
export class BackupStore {
  readonly #plan: PlannedBackup
  readonly #maker: BackupMaker
  readonly #front: string

  constructor(
    plan: PlannedBackup,
    surroundings: { readonly configFile: string; readonly cwd: string; readonly app: AppIdentity },
  ) {
    const { configFile, cwd, app } = surroundings
    const { database, command, restoreCommand, tools } = plan
    this.#plan = plan
    this.#front = safe(app.name)
    if (command !== null) this.#maker = new CommandBackup(command, restoreCommand, cwd)
    else if (database?.kind === 'postgres')
      this.#maker = new PostgresBackup({ configFile, url: database.url, app, tools })
    else this.#maker = new SqliteBackup(database?.path ?? '')
  }

  /** @throws Error that says why no back-up could be made */
  check(): Promise<void> {
    return this.#maker.check()
  }

  /** Others that use the database now; null for a kind of database that does not tell. Rejects if one that does could not be asked. */
  otherSessions(): Promise<number | null> {
    return this.#maker.otherSessions()
  }

  /** @throws Error that says what failed; no file is left then */
  async make(version: string, signal: AbortSignal): Promise<ReleaseBackup> {
    const start = monotonicNow()
    const { directory } = this.#plan
    await makeDirectory(directory)
    await this.#checkRoom()
    const stamp = wallClock()
      .toISOString()
      .replace(/[-:]|\.\d+/g, '')
    const path = join(directory, `${this.#front}-${stamp}-${safe(version)}.${this.#maker.extension}`)
    const partial = `${path}.partial`
    try {
      // Nobody else is to read it, whatever the program's own ideas of that are.
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

  /** @throws Error that says why; what is in the database is then as it was */
  async restore(backup: ReleaseBackup, host: string, signal: AbortSignal): Promise<void> {
    const there = await stat(backup.path).catch(() => null)
    if (there === null) {
      const where = host === hostname() ? '' : `; it was made on ${host}`
      throw new ReleaseError(`the back-up ${backup.path} is not there${where}`, {
        phase: 'restore',
        reason: 'missing',
        path: backup.path,
      })
    }
    if ((await digest(backup.path)) !== backup.sha256) {
      throw new ReleaseError(
        `the back-up ${backup.path} cannot be read: it is not what was written (its SHA-256 differs)`,
        { phase: 'restore', reason: 'altered', path: backup.path },
      )
    }
    await this.#maker.restore(backup.path, signal)
  }

  async #checkRoom(): Promise<void> {
    const { directory } = this.#plan
    const need = await this.#maker.size()
    if (need === null) return
    const { bavail, bsize } = await statfs(directory)
    const free = bavail * bsize
    if (free >= need + SPARE) return
    throw new ReleaseError(
      `the disk of ${directory} has ${formatBytes(free)} left, and a back-up may need ${formatBytes(need + SPARE)}; make room or name another backup.directory`,
      { phase: 'backup', reason: 'disk-full', free, needed: need + SPARE },
    )
  }

  async #prune(): Promise<void> {
    const { directory, keep } = this.#plan
    const ours = (await readdir(directory)).filter(
      (name) => name.startsWith(`${this.#front}-`) && NAME.test(name.slice(this.#front.length + 1)),
    )
    const whole = ours.filter((name) => name.endsWith(`.${this.#maker.extension}`)).toSorted()
    for (const name of whole.slice(0, Math.max(0, whole.length - keep)))
      await rm(join(directory, name), { force: true })
    for (const name of ours.filter((one) => /\.partial(-\w+)?$|\.sql$/.test(one))) {
      const found = await stat(join(directory, name)).catch(() => null)
      if (found !== null && wallClock().getTime() - found.mtimeMs > LEFTOVER)
        await rm(join(directory, name), { force: true })
    }
  }
}

function safe(text: string): string {
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

/** `12.3 MiB` */
export function formatBytes(bytes: number): string {
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`
  if (bytes < 1024 ** 3) return `${(bytes / 1024 ** 2).toFixed(1)} MiB`
  return `${(bytes / 1024 ** 3).toFixed(1)} GiB`
}
