import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pulse } from './pulse.ts'

function pair(): { main: Pulse; watchdog: Pulse } {
  const main = new Pulse()
  return { main, watchdog: new Pulse(main.memory) }
}

test('a new pulse is empty', () => {
  const {
    lastBeat,
    heapUsed,
    heapLimit,
    booting,
    tainted,
    asyncHooks: hooks,
    inspectorPort,
    blockingUntil,
    blockingName,
  } = new Pulse()
  assert.deepEqual(
    { lastBeat, heapUsed, heapLimit, hooks, inspectorPort, blockingUntil },
    {
      lastBeat: 0,
      heapUsed: 0,
      heapLimit: 0,
      hooks: 0,
      inspectorPort: 0,
      blockingUntil: 0,
    },
  )
  assert.deepEqual({ booting, tainted, blockingName }, { booting: false, tainted: false, blockingName: null })
})

test('one thread reads what the other writes', () => {
  const { main, watchdog } = pair()
  main.lastBeat = 1_234.5
  main.booting = true
  main.inspectorPort = 65_535
  main.setHeap(3 * 2 ** 30, 4 * 2 ** 30)
  watchdog.tainted = true
  assert.equal(watchdog.lastBeat, 1_234.5)
  assert.equal(watchdog.booting, true)
  assert.equal(watchdog.inspectorPort, 65_535)
  assert.deepEqual([watchdog.heapUsed, watchdog.heapLimit], [3 * 2 ** 30, 4 * 2 ** 30])
  assert.equal(main.tainted, true)
})

test('the lag is the largest since the last takeLag', () => {
  const { main, watchdog } = pair()
  for (const lag of [3, 40, 7]) main.raiseLag(lag)
  assert.equal(watchdog.takeLag(), 40)
  assert.equal(watchdog.takeLag(), 0)
})

test('a cleanup is taken once', () => {
  const { main, watchdog } = pair()
  assert.equal(main.takeCleanup(), 0)
  watchdog.requestCleanup(42)
  assert.equal(main.takeCleanup(), 42)
  assert.equal(main.takeCleanup(), 0)
  watchdog.requestCleanup(-1)
  assert.equal(main.takeCleanup(), -1, 'an interrupt without a request')
})

test('async hooks are counted up and down', () => {
  const { main, watchdog } = pair()
  main.addAsyncHooks(1)
  main.addAsyncHooks(1)
  main.addAsyncHooks(-1)
  assert.equal(watchdog.asyncHooks, 1)
})

test('a blocking job has a name until it ends', () => {
  const { main, watchdog } = pair()
  main.setBlocking('Jahresabschluß', 5_000)
  assert.equal(watchdog.blockingName, 'Jahresabschluß')
  assert.equal(watchdog.blockingUntil, 5_000)
  main.setBlocking('', 0)
  assert.equal(watchdog.blockingName, null)
})

test('a name that is too long ends with a whole character', () => {
  const { main, watchdog } = pair()
  main.setBlocking('€'.repeat(100), 5_000)
  const name = watchdog.blockingName ?? ''
  assert.ok(name.length > 0 && /^€+$/.test(name), name)
})
