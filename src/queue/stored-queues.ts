import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { UsageError } from '../errors/punctual-error.ts'
import { ms } from '../resilience/duration.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import { type DeadLetter, DeadLetterStore } from './dead-letters.ts'
import { isOwnerAlive, listOwners, thisOwner } from './spool/owner.ts'
import { Spool } from './spool/spool.ts'

const SYNC_TIMEOUT = '30s'

/** What the files of a state directory say about a queue, whether or not a process is running. */
export interface StoredQueue {
  readonly name: string
  /** Size of its spool, dead letters included. */
  readonly bytes: number
  /** Processes that have items in it. */
  readonly owners: { readonly alive: number; readonly gone: number }
  readonly deadLetters: number
}

/** The queues of a state directory, ordered by name. */
export async function listStoredQueues(stateDir: string): Promise<readonly StoredQueue[]> {
  const spool = join(stateDir, 'spool')
  const found = await readdir(spool, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  const names = found.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  return Promise.all(
    names.toSorted().map(async (name) => {
      const owners = listOwners(spool, name)
      const alive = owners.filter(isOwnerAlive).length
      return {
        name,
        bytes: await sizeOfDirectory(join(spool, name)),
        owners: { alive, gone: owners.length - alive },
        deadLetters: await new DeadLetterStore(spool, name).count(),
      }
    }),
  )
}

export function deadLettersOf(stateDir: string, queue: string): DeadLetterStore {
  return new DeadLetterStore(join(stateDir, 'spool'), queue)
}

/**
 * Refuses to change a queue as another user than its processes run as: they could not read what
 * root writes.
 *
 * @throws UsageError that says as which user to run the command
 */
export async function refuseOtherUser(stateDir: string, queue: string): Promise<void> {
  const directory = join(stateDir, 'spool', queue)
  const { uid } = await stat(directory)
  const own = process.geteuid?.() ?? uid
  if (own === uid) return
  throw new UsageError(
    `${directory} belongs to user ${uid}, and this process runs as ${own}: the app could not read what it writes; run it with sudo -u '#${uid}'`,
    { details: { queue, reason: 'other-user', owner: uid, user: own } },
  )
}

/**
 * Puts dead letters back into their queue. They are written to a spool of this process, and when it
 * has exited a process that runs the queue recovers them, within a second or two or at its next
 * start. They are written first and removed afterwards, so a crash in between repeats them.
 *
 * @returns how many were put back
 * @throws Error when some could not be written; these remain dead letters
 */
export async function retryDeadLetters(
  stateDir: string,
  queue: string,
  wanted: (entry: DeadLetter) => boolean,
): Promise<number> {
  const deadLetters = deadLettersOf(stateDir, queue)
  const retried = (await deadLetters.list()).filter(wanted)
  if (retried.length === 0) return 0
  const spool = new Spool({
    directory: join(stateDir, 'spool'),
    queue,
    owner: thisOwner(),
    durability: 'disk',
    syncEvery: ms(1),
    maxBytes: Number.POSITIVE_INFINITY,
  })
  const written = new Set<string>()
  try {
    for (const { id, item } of retried) if (spool.append(id, JSON.stringify(item)) !== null) written.add(id)
    await withTimeout(`sync of queue ${queue}`, SYNC_TIMEOUT, () => spool.synced())
  } finally {
    await spool.close()
  }
  await deadLetters.remove(({ id }) => written.has(id))
  if (written.size === retried.length) return written.size
  const why = spool.state.state === 'degraded' ? spool.state.why : 'the disk does not take them'
  throw new Error(`cannot write ${retried.length - written.size} of ${retried.length} items: ${why}`)
}

/** A file that is removed meanwhile counts as empty. */
async function sizeOfDirectory(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => [])
  const sizes = entries
    .filter((entry) => entry.isFile())
    .map((entry) =>
      stat(join(entry.parentPath, entry.name)).then(
        ({ size }) => size,
        () => 0,
      ),
    )
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}
