import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { statefulPackages } from './local-state.ts'

const found = (loaded: readonly string[], dependencies: readonly string[] = []): readonly string[] =>
  statefulPackages(new Set(loaded), new Set(dependencies))

describe('the packages that keep state in their process', () => {
  it('are found if the app has loaded them', () => {
    assert.deepEqual(found(['express', 'socket.io', 'socket.io-adapter', 'cron']), ['socket.io', 'cron'])
    assert.deepEqual(found(['express', 'bullmq', 'cron-parser']), [])
  })

  it('are not reported if the app has loaded what shares their state', () => {
    assert.deepEqual(found(['socket.io', '@socket.io/redis-adapter']), [])
    for (const store of [
      'connect-redis',
      'connect-mongo',
      'connect-pg-simple',
      'session-file-store',
      'express-mysql-session',
    ]) {
      assert.deepEqual(found(['express-session', store]), [], store)
    }
    assert.deepEqual(found(['express-session', 'connect-flash']), ['express-session'])
  })

  it('are found among the dependencies if they can be ES modules, which leave no trace', () => {
    assert.deepEqual(found([], ['croner', 'express-session']), ['croner'])
  })
})
