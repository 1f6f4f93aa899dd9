import { randomUUID } from 'node:crypto'
import { link, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PunctualError } from '../errors/punctual-error.ts'
import { type Cancel, every, pause, wallClock } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { isAlive, LOCK_TOUCH, type LockHolder, ourselves, parseHolder } from './state-directory-holder.ts'

/** A Unix socket's path is held in a field of this many bytes, its end included. */
const SOCKET_PATH = process.platform === 'linux' ? 108 : 104
/** How often a lock that changes hands under our eyes is looked at again. */
const ATTEMPTS = 40
const BETWEEN_ATTEMPTS = ms(50)
/** Age in milliseconds from which a temporary file is nobody's any more. */
const LEFTOVER = 60_000

export interface StateDirectoryOptions {
  /** Called once if somebody took the lock over while this arbiter was away (its machine slept, a shared volume was cut off). */
  readonly onLost?: (holder: LockHolder | null) => void
}

/** The state directory of a running arbiter: its own until released. */
export interface StateDirectory {
  readonly path: string
  readonly controlSocket: string
  /** Gives the lock up, if it is still ours. Never rejects. */
  release(): Promise<void>
}

/** Where the control socket of this state directory is. Throws if no Unix socket can have that path. */
export function controlSocketPath(stateDir: string): string {
  const path = join(stateDir, 'control.sock')
  const length = Buffer.byteLength(path)
  if (length < SOCKET_PATH) return path
  throw new PunctualError(
    'PUNCTUAL_STATE_DIR_UNWRITABLE',
    `the path of the control socket, ${path}, is ${length} bytes long and a Unix socket's may have ${SOCKET_PATH - 1}; choose a shorter --state-dir`,
    { details: { stateDir, path, reason: 'ENAMETOOLONG', bytes: length, maxBytes: SOCKET_PATH - 1 } },
  )
}

/**
 * Creates the state directory (mode 0700) and takes its lock, the file `arbiter.lock`.
 *
 * The lock appears whole or not at all (`link`). One whose holder has gone is replaced by whoever first creates the claim on that very
 * holder, `arbiter.lock.<token>`, and then finds it still in place; a claim whose owner died is replaced the same way. So two takers can
 * never both believe that they hold it.
 *
 * Errors: `PUNCTUAL_STATE_DIR_LOCKED` with the holder's pid, `PUNCTUAL_STATE_DIR_UNWRITABLE`.
 */
export async function openStateDirectory(path: string, options: StateDirectoryOptions = {}): Promise<StateDirectory> {
  const controlSocket = controlSocketPath(path)
  const lock = join(path, 'arbiter.lock')
  const us = ourselves()
  try {
    await makeDirectory(path)
    await take(lock, us, path, controlSocket)
    await sweep(path)
  } catch (error) {
    throw error instanceof PunctualError ? error : unusable(path, error)
  }
  const stopTouching = keepTouching(lock, us, options.onLost ?? (() => {}))
  return {
    path,
    controlSocket,
    release: async () => {
      stopTouching()
      try {
        const found = await look(lock)
        if (found?.holder?.token === us.token) await rm(lock, { force: true })
      } catch {
        // A lock that cannot be removed is stale as soon as this process has ended.
      }
    },
  }
}

/**
 * With its parents. Not by `recursive`: Node's loops for ever where a directory is said not to exist below one that does (`/proc`).
 */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return
    if (code !== 'ENOENT' || dirname(path) === path) throw error
    await makeDirectory(dirname(path))
    await makeLast(path)
  }
}

/** A second arbiter may make it at the same time. */
async function makeLast(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
}

async function take(lock: string, us: LockHolder, stateDir: string, controlSocket: string): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    if (await create(lock, us)) return
    const found = await look(lock)
    if (found === null) continue
    if (await alive(found, controlSocket)) throw locked(stateDir, found.holder)
    if (await replace(lock, found.token, us, controlSocket)) return
    await pause(BETWEEN_ATTEMPTS)
  }
  throw locked(stateDir, (await look(lock))?.holder ?? null)
}

/** Puts our lock in the place of one whose holder is gone. False: somebody else is about to, or has. */
async function replace(
  lock: string,
  goneToken: string,
  us: LockHolder,
  controlSocket: string,
  depth = 0,
): Promise<boolean> {
  const claim = join(lock, '..', `arbiter.lock.${goneToken}`)
  if (!(await create(claim, us))) {
    const claimed = await look(claim)
    if (claimed === null || depth > 3 || (await alive(claimed, controlSocket))) return false
    if (!(await replace(claim, claimed.token, us, controlSocket, depth + 1))) return false
  }
  try {
    const now = await look(lock)
    if (now?.token !== goneToken) return false
    const temporary = await writeBeside(lock, us)
    await rename(temporary, lock)
    return true
  } finally {
    await rm(claim, { force: true })
  }
}

/** False if the file is there already. */
async function create(path: string, us: LockHolder): Promise<boolean> {
  const temporary = await writeBeside(path, us)
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

async function writeBeside(path: string, us: LockHolder): Promise<string> {
  const temporary = join(path, '..', `.arbiter.lock.${us.pid}.${randomUUID()}.tmp`)
  await writeFile(temporary, `${JSON.stringify(us)}\n`, { mode: 0o600, flag: 'wx' })
  return temporary
}

/** Removes what takers that were killed in the middle have left. The young may be at work still. */
async function sweep(stateDir: string): Promise<void> {
  for (const name of await readdir(stateDir)) {
    if (!/^\.arbiter\.lock\..*\.tmp$|^arbiter\.lock\../.test(name)) continue
    const found = await stat(join(stateDir, name)).catch(() => null)
    if (found !== null && wallClock().getTime() - found.mtimeMs > LEFTOVER) {
      await rm(join(stateDir, name), { force: true })
    }
  }
}

interface Found {
  /** Null: the file holds something else. */
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

/** A lock appears with its content, so one without has lost it in a crash of the machine. */
async function alive({ holder, touchedAt }: Found, controlSocket: string): Promise<boolean> {
  return holder !== null && (await isAlive(holder, touchedAt, controlSocket))
}

/** Tells other machines that we live, and finds out when one has thought otherwise. */
function keepTouching(lock: string, us: LockHolder, onLost: (holder: LockHolder | null) => void): Cancel {
  let busy = false
  const touch = async (): Promise<void> => {
    const found = await look(lock)
    if (found?.token === us.token) {
      const now = wallClock()
      return await utimes(lock, now, now)
    }
    stop()
    onLost(found?.holder ?? null)
  }
  const stop = every(LOCK_TOUCH, () => {
    if (busy) return
    busy = true
    // A disk that fails for a while takes nothing from us: on this machine the process table speaks for the lock.
    void touch()
      .catch(() => {})
      .finally(() => {
        busy = false
      })
  })
  return stop
}

function locked(stateDir: string, holder: LockHolder | null): PunctualError {
  const who = holder === null ? 'another arbiter' : `the arbiter with pid ${holder.pid}${elsewhere(holder)}`
  return new PunctualError(
    'PUNCTUAL_STATE_DIR_LOCKED',
    `${who} runs on ${stateDir}${holder === null ? '' : ` since ${holder.since}`}; stop it (punctual stop --state-dir ${stateDir}) or choose another --state-dir`,
    { details: { stateDir, pid: holder?.pid ?? null, hostname: holder?.hostname ?? null } },
  )
}

function elsewhere(holder: LockHolder): string {
  return holder.hostname === ourselves().hostname ? '' : ` on ${holder.hostname}`
}

function unusable(path: string, error: unknown): PunctualError {
  const { code: given, syscall, message, path: where } = error as NodeJS.ErrnoException
  const code = meaningOf(given, syscall)
  const at = where ?? path
  return new PunctualError(
    'PUNCTUAL_STATE_DIR_UNWRITABLE',
    `the state directory ${path} cannot be used: ${reason(code, at) ?? message}; mend that or choose another --state-dir`,
    { cause: error, details: { stateDir: path, path: at, reason: code ?? null } },
  )
}

/** The code that says what is wrong, where the system call's own says something else. */
function meaningOf(code: string | undefined, syscall: string | undefined): string | undefined {
  // Linux says EPERM where a file system knows no hard links.
  if (syscall === 'link' && code === 'EPERM') return 'ENOTSUP'
  return code === 'EEXIST' ? 'ENOTDIR' : code
}

function reason(code: string | undefined, where: string): string | undefined {
  switch (code) {
    case 'ENOTDIR':
      return `${where} is in the way and is no directory`
    case 'EISDIR':
      return `${where} is a directory where a file should be`
    case 'EACCES':
    case 'EPERM':
      return `${where} may not be written by this user`
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
