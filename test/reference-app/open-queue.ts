import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyBaseLogger } from 'fastify'
import { type DurableQueue, type DurableQueueOptions, durableQueue, type QueueHandler } from './punctual.ts'

export interface QueueSettings extends Omit<DurableQueueOptions, 'durability' | 'onEvent' | 'stateDir'> {
  /** Where what waits is kept, in a process that does not run under Punctual; undefined keeps it in memory alone. */
  readonly stateDir: string | undefined
  readonly log: FastifyBaseLogger
}

let inMemory = 0

/** What is given up is written down even by a queue in memory; that of a process which keeps nothing goes with it. */
function forgottenDirectory(): string {
  const directory = join(tmpdir(), `incidents-in-memory-${process.pid}`)
  if (inMemory === 0) process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/**
 * A queue of the app, which says what it has to say in the app's log. Kept in memory it has a name of its own each time, so that a process, such as a test, may
 * have several apps at once, and finds nothing that others have left.
 */
export function openQueue<Item>(
  name: string,
  handler: QueueHandler<Item>,
  { log, stateDir, ...options }: QueueSettings,
): DurableQueue<Item> {
  const kept: DurableQueueOptions =
    stateDir === undefined ? { durability: 'memory', stateDir: forgottenDirectory() } : { stateDir }
  return durableQueue(stateDir === undefined ? `${name}.${++inMemory}` : name, handler, {
    ...options,
    ...kept,
    onEvent: ({ severity, queue, type, message }) => log[severity]({ queue, type }, message),
  })
}
