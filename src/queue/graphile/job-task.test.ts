import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { ms } from '../../resilience/duration.ts'
import { HandlerSlots, LoopGate } from '../handler-capacity.ts'
import { QueueEvents } from '../queue-events.ts'
import type { TransportedQueue } from '../queue-options.ts'
import type { JobHelpers } from './graphile-module.ts'
import { JobTask } from './job-task.ts'

const ATTEMPTS = 3
const PAYLOAD = { id: '01M81FGJQM5D1GXBP4P5NRZETZ', item: 7 }

let stored: (readonly [attempts: number, why: string])[]
let canStore: boolean
let forget: (id: string) => Promise<void>
let task: JobTask

beforeEach(() => {
  stored = []
  canStore = true
  forget = async () => {}
  const queue: TransportedQueue = {
    name: 'mails',
    handler: () => {
      throw new Error('no such mailbox')
    },
    timeout: ms(10_000),
    attempts: ATTEMPTS,
    gate: new LoopGate(),
    slots: new HandlerSlots(1),
    events: new QueueEvents('mails', () => {}),
    deadLetters: {
      deadLetter: async ({ failed: attempts }, error) => {
        if (canStore) stored.push([attempts, (error as { readonly code?: string }).code ?? (error as Error).message])
        return canStore
      },
    },
  }
  task = new JobTask(queue, { forget: (id) => forget(id) })
})

/** Runs a job as graphile-worker does. Returns the stored error; null when it is deleted. */
async function attempt(attempts: number, lastError: string | null): Promise<string | null> {
  const job: JobHelpers['job'] = { id: '1', attempts, last_error: lastError }
  try {
    await task.run(PAYLOAD, { job }, new AbortController().signal)
    return null
  } catch (error) {
    return (error as Error).message
  }
}

test("a job whose dead letter cannot be written is retried, and dead-lettered with its handler's error", async () => {
  canStore = false
  let said = await attempt(ATTEMPTS, null)
  said = await attempt(ATTEMPTS + 1, said)
  assert.equal(said, 'no such mailbox')
  assert.deepEqual(stored, [])
  canStore = true
  assert.equal(await attempt(ATTEMPTS + 2, said), null)
  assert.deepEqual(stored, [[ATTEMPTS, 'no such mailbox']])
})

test("a job that cannot be forgotten is retried, and dead-lettered with its handler's error", async () => {
  forget = () => Promise.reject(new Error('no connection'))
  const said = await attempt(ATTEMPTS, null)
  assert.equal(said, 'no such mailbox')
  forget = async () => {}
  assert.equal(await attempt(ATTEMPTS + 1, said), null)
  assert.ok(stored.length > 0)
  for (const letter of stored) assert.deepEqual(letter, [ATTEMPTS, 'no such mailbox'])
})

test('a job that never ended is dead-lettered for killing its process', async () => {
  assert.equal(await attempt(ATTEMPTS + 1, null), null)
  assert.deepEqual(stored, [[ATTEMPTS, 'PUNCTUAL_ITEM_KILLS_PROCESS']])
})
