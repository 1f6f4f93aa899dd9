import { randomUUID } from 'node:crypto'
import { link, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PunctualError } from '../errors/punctual-error.ts'
import { type Cancel, every, monotonicNow, pause, wallClock } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import { makeDirectory } from '../system/make-directory.ts'
import { isAlive, LOCK_STALE, LOCK_TOUCH, type LockHolder, parseHolder, thisHolder } from './lock-holder.ts'

/** The size of the field for a Unix socket's path, in bytes, including the terminator. */
const SOCKET_PATH_SIZE = process.platform === 'linux' ? 108 : 104
/** Attempts to take a lock that changes hands meanwhile. */
const ATTEMPTS = 40
const RETRY_INTERVAL = ms(50)
/** Between two looks at a lock whose holder may have died. */
const WATCH_INTERVAL = ms(250)
/** Age in milliseconds at which a temporary file is a leftover. */
const LEFTOVER_AGE = 60_000

export interface StateDirectoryOptions {
  /**
   * Called once if another arbiter took the lock while this one could not update it (its machine
   * slept, or a shared volume was disconnected).
   */
  readonly onLost?: (holder: LockHolder | null) => void
  /** Called once if it takes up to `timeout` to find out whether the holder still runs. */
  readonly onWait?: (holder: LockHolder, timeout: Milliseconds) => void
}

/** The state directory of a running arbiter, locked until it is released. */
export interface StateDirectory {
  readonly path: string
  readonly controlSocket: string
  /** Releases the lock if this arbiter still holds it. Never rejects. */
  release(): Promise<void>
}

/** The path of the control socket. Throws if it is too long for a Unix socket. */
export function controlSocketPath(stateDir: string): string {
  const path = join(stateDir, 'control.sock')
  const length = Buffer.byteLength(path)
  if (length < SOCKET_PATH_SIZE) return path
  throw new PunctualError(
    'PUNCTUAL_STATE_DIR_UNWRITABLE',
    `the path of the control socket, ${path}, must be at most ${SOCKET_PATH_SIZE - 1} bytes long, got ${length}; choose a shorter --state-dir`,
    { details: { stateDir, path, reason: 'ENAMETOOLONG', bytes: length, maxBytes: SOCKET_PATH_SIZE - 1 } },
  )
}

/**
 * Creates the state directory (mode 0700) and takes its lock, the file `arbiter.lock`.
 *
 * The lock is created atomically with its content (`link`). A lock whose holder has exited is
 * replaced by the process that first creates the claim on that holder, `arbiter.lock.<token>`, and
 * then finds the same holder in place. A claim whose owner died is replaced in the same way. So two
 * processes can never both believe that they hold the lock.
 *
 * Throws `PUNCTUAL_STATE_DIR_LOCKED` with the holder's pid, or `PUNCTUAL_STATE_DIR_UNWRITABLE`.
 */
export async function openStateDirectory(path: string, options: StateDirectoryOptions = {}): Promise<StateDirectory> {
  const controlSocket = controlSocketPath(path)
  const lock = join(path, 'arbiter.lock')
  const self = thisHolder()
  try {
    await makeDirectory(path)
    await take(lock, self, path, controlSocket, options.onWait ?? (() => {}))
    await sweep(path)
  } catch (error) {
    throw error instanceof PunctualError ? error : unusable(path, error)
  }
  const stopUpdates = keepFresh(lock, self, options.onLost ?? (() => {}))
  return {
    path,
    controlSocket,
    release: async () => {
      stopUpdates()
      try {
        const found = await look(lock)
        if (found?.holder?.token === self.token) await rm(lock, { force: true })
      } catch {
        // A lock that cannot be removed is stale once this process has exited.
      }
    },
  }
}

async function take(
  lock: string,
  self: LockHolder,
  stateDir: string,
  controlSocket: string,
  onWait: NonNullable<StateDirectoryOptions['onWait']>,
): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    if (await create(lock, self)) return
    const found = await look(lock)
    if (found === null) continue
    const isHeld = await alive(found, controlSocket)
    if (isHeld === true || (isHeld === 'unknown' && (await isKeptAlive(lock, found, controlSocket, onWait)))) {
      throw locked(stateDir, found.holder)
    }
    if (await replace(lock, found.token, self, controlSocket)) return
    await pause(RETRY_INTERVAL)
  }
  throw locked(stateDir, (await look(lock))?.holder ?? null)
}

/**
 * Watches a lock whose holder may have died, such as that of a container which was killed and
 * started again: whether it is updated, or listens.
 */
async function isKeptAlive(
  lock: string,
  { holder, token, touchedAt }: Found,
  controlSocket: string,
  onWait: NonNullable<StateDirectoryOptions['onWait']>,
): Promise<boolean> {
  if (holder !== null) onWait(holder, LOCK_STALE)
  const end = monotonicNow() + LOCK_STALE
  while (monotonicNow() < end) {
    await pause(WATCH_INTERVAL)
    const now = await look(lock)
    // Released, or taken by another process.
    if (now?.token !== token) return false
    if (now.touchedAt !== touchedAt) return true
    const isHeld = await alive(now, controlSocket)
    if (isHeld !== 'unknown') return isHeld
  }
  return false
}

/** Replaces a lock whose holder has exited. Returns false if another process does so. */
async function replace(
  lock: string,
  goneToken: string,
  self: LockHolder,
  controlSocket: string,
  depth = 0,
): Promise<boolean> {
  const claim = join(lock, '..', `arbiter.lock.${goneToken}`)
  if (!(await create(claim, self))) {
    const claimed = await look(claim)
    if (claimed === null || depth > 3 || (await alive(claimed, controlSocket)) !== false) return false
    if (!(await replace(claim, claimed.token, self, controlSocket, depth + 1))) return false
  }
  try {
    const now = await look(lock)
    if (now?.token !== goneToken) return false
    const temporary = await writeBeside(lock, self)
    await rename(temporary, lock)
    return true
  } finally {
    await rm(claim, { force: true })
  }
}

/** Returns false if the file exists. */
async function create(path: string, self: LockHolder): Promise<boolean> {
  const temporary = await writeBeside(path, self)
  try {
    await link(temporary, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    await rm(temporary, { force: true })
  }
}

async function writeBeside(path: string, self: LockHolder): Promise<string> {
  const temporary = join(path, '..', `.arbiter.lock.${self.pid}.${randomUUID()}.tmp`)
  await writeFile(temporary, `${JSON.stringify(self)}\n`, { mode: 0o600, flag: 'wx' })
  return temporary
}

/** Removes old files of processes that were killed while taking the lock. */
async function sweep(stateDir: string): Promise<void> {
  for (const name of await readdir(stateDir)) {
    if (!/^\.arbiter\.lock\..*\.tmp$|^arbiter\.lock\../.test(name)) continue
    const found = await stat(join(stateDir, name)).catch(() => null)
    if (found !== null && wallClock().getTime() - found.mtimeMs > LEFTOVER_AGE) {
      await rm(join(stateDir, name), { force: true })
    }
  }
}

interface Found {
  /** Null if the file is damaged. */
  readonly holder: LockHolder | null
  readonly token: string
  readonly touchedAt: number
}

async function look(path: string): Promise<Found | null> {
  try {
    const [text, { ino, mtimeMs }] = await Promise.all([readFile(path, 'utf8'), stat(path)])
    const holder = parseHolder(text)
    return { holder, token: holder?.token ?? `unreadable-${ino}`, touchedAt: mtimeMs }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** A lock is created with its content, so one without lost it in a crash of the machine. */
async function alive({ holder, touchedAt }: Found, controlSocket: string): Promise<boolean | 'unknown'> {
  return holder !== null && (await isAlive(holder, touchedAt, controlSocket))
}

/** Updates the time of the lock for other machines, and detects that one has taken it over. */
function keepFresh(lock: string, self: LockHolder, onLost: (holder: LockHolder | null) => void): Cancel {
  let busy = false
  const touch = async (): Promise<void> => {
    const found = await look(lock)
    if (found?.token === self.token) {
      const now = wallClock()
      return await utimes(lock, now, now)
    }
    stop()
    onLost(found?.holder ?? null)
  }
  const stop = every(LOCK_TOUCH, () => {
    if (busy) return
    busy = true
    // If the disk fails for a while, the lock stays valid on this machine.
    void touch()
      .catch(() => {})
      .finally(() => {
        busy = false
      })
  })
  return stop
}

function locked(stateDir: string, holder: LockHolder | null): PunctualError {
  const who = holder === null ? 'another arbiter' : `arbiter (pid ${holder.pid}${elsewhere(holder)})`
  return new PunctualError(
    'PUNCTUAL_STATE_DIR_LOCKED',
    `${who} uses ${stateDir}${holder === null ? '' : ` since ${holder.since}`}; stop it (punctual stop --state-dir ${stateDir}) or choose another --state-dir`,
    { details: { stateDir, pid: holder?.pid ?? null, hostname: holder?.hostname ?? null } },
  )
}

function elsewhere(holder: LockHolder): string {
  return holder.hostname === thisHolder().hostname ? '' : ` on ${holder.hostname}`
}

function unusable(path: string, error: unknown): PunctualError {
  const { code: given, syscall, message, path: where } = error as NodeJS.ErrnoException
  const code = normalizeCode(given, syscall)
  const at = where ?? path
  return new PunctualError(
    'PUNCTUAL_STATE_DIR_UNWRITABLE',
    `cannot use the state directory ${path}: ${reason(code, at) ?? message}; fix that or choose another --state-dir`,
    { cause: error, details: { stateDir: path, path: at, reason: code ?? null } },
  )
}

/** Normalizes error codes that are misleading for their system call. */
function normalizeCode(code: string | undefined, syscall: string | undefined): string | undefined {
  // Linux reports EPERM if the file system has no hard links.
  if (syscall === 'link' && code === 'EPERM') return 'ENOTSUP'
  return code === 'EEXIST' ? 'ENOTDIR' : code
}

function reason(code: string | undefined, where: string): string | undefined {
  switch (code) {
    case 'ENOTDIR':
      return `${where} is not a directory`
    case 'EISDIR':
      return `${where} is a directory, not a file`
    case 'EACCES':
    case 'EPERM':
      return `this user may not write to ${where}`
    case 'EROFS':
      return 'the file system is read-only'
    case 'ENOSPC':
      return 'the disk is full'
    case 'ENOTSUP':
    case 'EOPNOTSUPP':
      return 'its file system has no hard links, which the lock needs'
    default:
      return undefined
  }
}
