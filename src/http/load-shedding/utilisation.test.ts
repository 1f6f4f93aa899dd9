import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Utilisation } from './utilisation.ts'

test('it is that of the time since it began, not since the start', async () => {
  const utilisation = new Utilisation()
  await sleep(50)
  const idle = utilisation.value
  utilisation.begin()
  // Begun afresh, nothing of the idle time counts.
  const end = performance.now() + 50
  while (performance.now() < end);
  const busy = utilisation.value
  assert.ok(idle < busy, `${idle} < ${busy}`)
  assert.equal(utilisation.isFull, true)
  assert.ok(busy > 0.9, String(busy))
})
