import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyBaseLogger } from 'fastify'
import { type DurableQueue, type DurableQueueOptions, durableQueue, type QueueHandler } from './punctual.ts'

export interface QueueSettings extends Omit<DurableQueueOptions, 'durability' | 'onEvent' | 'stateDir'> {
  /** Where items are stored without Punctual; undefined keeps them in memory. */
  readonly stateDir: string | undefined
  readonly log: FastifyBaseLogger
}

let inMemory = 0

/**
 * Dead letters are written even by a queue in memory; a process without a state directory deletes
 * them.
 */
function forgottenDirectory(): string {
  const directory = join(tmpdir(), `incidents-in-memory-${process.pid}`)
  if (inMemory === 0) process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/**
 * Opens a queue of the app that logs to the app's log. A queue in memory gets a unique name, so
 * that one process, such as a test, can have several apps and finds no leftovers.
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
