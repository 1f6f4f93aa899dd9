import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { UsageError } from '../errors/punctual-error.ts'
import { ms } from '../resilience/duration.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import { type DeadLetter, DeadLetters } from './dead-letters.ts'
import { listOwners } from './spool/adopt.ts'
import { isOwnerAlive, thisOwner } from './spool/owner.ts'
import { openSpool } from './spool/spool.ts'

const SYNC_LIMIT = '30s'

/** What the files of a state directory say of a queue, whether or not anything runs. */
export interface KeptQueue {
  readonly name: string
  /** Of its spool, dead letters included. */
  readonly bytes: number
  /** Processes that have something in it. */
  readonly owners: { readonly alive: number; readonly gone: number }
  readonly deadLetters: number
}

/** The queues of a state directory, by name; none when there is no spool. */
export async function keptQueues(stateDir: string): Promise<readonly KeptQueue[]> {
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
        bytes: await bytesBelow(join(spool, name)),
        owners: { alive, gone: owners.length - alive },
        deadLetters: await new DeadLetters(spool, name).count(),
      }
    }),
  )
}

export function deadLettersOf(stateDir: string, queue: string): DeadLetters {
  return new DeadLetters(join(stateDir, 'spool'), queue)
}

/**
 * Refuses to change a queue as another user than its processes run as: what root writes they could not read, and it would be hidden from them for good.
 *
 * @throws UsageError that says as whom to do it
 */
export async function refuseOtherUser(stateDir: string, queue: string): Promise<void> {
  const directory = join(stateDir, 'spool', queue)
  const { uid } = await stat(directory)
  const own = process.geteuid?.() ?? uid
  if (own === uid) return
  throw new UsageError(
    `${directory} belongs to the user with the id ${uid}, and this process runs as ${own}: the app could not read what it would write; run it as that user, with sudo -u '#${uid}'`,
    { details: { queue, reason: 'other-user', owner: uid, user: own } },
  )
}

/**
 * Puts dead letters back into their queue. They are written to a spool of this process; when it has ended whoever runs the queue takes them over, within a second
 * or two, or at its next start. Written first and removed afterwards, so what dies in between repeats them.
 *
 * @returns how many
 * @throws Error when they cannot be written; then none is lost
 */
export async function retryDeadLetters(
  stateDir: string,
  queue: string,
  wanted: (letter: DeadLetter) => boolean,
): Promise<number> {
  const letters = deadLettersOf(stateDir, queue)
  const again = (await letters.list()).filter(wanted)
  if (again.length === 0) return 0
  const spool = openSpool({
    directory: join(stateDir, 'spool'),
    queue,
    owner: thisOwner(),
    durability: 'disk',
    syncEvery: ms(1),
    maxBytes: Number.POSITIVE_INFINITY,
    onState: () => {},
  })
  const written = new Set<string>()
  try {
    for (const { id, item } of again) if (spool.append(id, JSON.stringify(item)) !== null) written.add(id)
    await withTimeout(`sync of deferred ${queue}`, SYNC_LIMIT, () => spool.synced())
  } finally {
    await spool.close()
  }
  await letters.remove(({ id }) => written.has(id))
  if (written.size === again.length) return written.size
  const why = spool.state.state === 'degraded' ? spool.state.why : 'the disk does not take them'
  throw new Error(`${again.length - written.size} of ${again.length} could not be written: ${why}`)
}

/** What goes meanwhile counts for nothing. */
async function bytesBelow(directory: string): Promise<number> {
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
