import assert from 'node:assert/strict'
import { chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { deadLettersOf, listStoredQueues, refuseOtherUser, retryDeadLetters } from './stored-queues.ts'
import { ulid } from './ulid.ts'

const AT = '2026-01-01T00:00:00.000Z'

function stateDirectory(context: TestContext): string {
  const stateDir = mkdtempSync(join(tmpdir(), 'punctual-kept-'))
  context.after(() => rmSync(stateDir, { recursive: true, force: true }))
  mkdirSync(join(stateDir, 'spool', 'q'), { recursive: true })
  return stateDir
}

test('retried dead letters are in the spool, and no longer dead letters', async (t) => {
  const stateDir = stateDirectory(t)
  const letters = deadLettersOf(stateDir, 'q')
  const error = { name: 'Error', message: 'no' }
  const all = [1, 2, 3].map((item) => ({
    id: ulid(),
    item,
    error,
    attempts: 10,
    firstFailedAt: AT,
    lastFailedAt: AT,
  }))
  await letters.add(all)
  await refuseOtherUser(stateDir, 'q')
  assert.equal(await retryDeadLetters(stateDir, 'q', ({ item }) => item !== 2), 2)
  assert.deepEqual(
    (await letters.list()).map(({ item }) => item),
    [2],
  )
  const [queue] = await listStoredQueues(stateDir)
  assert.equal(queue?.owners.alive, 1)
})

test('a queue of another user is refused, with the user to run as', async (t) => {
  if (process.geteuid?.() !== 0) return t.skip('only root can give files to another user')
  const stateDir = stateDirectory(t)
  const queue = join(stateDir, 'spool', 'q')
  chownSync(queue, 12_345, 12_345)
  const details = { queue: 'q', reason: 'other-user', owner: 12_345, user: 0 }
  await assert.rejects(refuseOtherUser(stateDir, 'q'), { code: 'PUNCTUAL_USAGE', details })
  assert.deepEqual(readdirSync(queue), [])
})
