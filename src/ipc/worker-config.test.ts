import assert from 'node:assert/strict'
import { test } from 'node:test'
import { resolveSettings } from '../settings/resolve.ts'
import { decodeWorkerConfig, encodeWorkerConfig } from './worker-config.ts'

test('a worker config arrives unchanged, unbounded limits included', () => {
  const { settings } = resolveSettings({ flags: {}, env: {}, file: undefined, cwd: '/srv', isTerminal: false })
  assert.equal(settings.maxRequests, Number.POSITIVE_INFINITY)
  const config = {
    id: 1,
    accepts: 'at-once' as const,
    socketFiles: [],
    generation: 2,
    entry: '/srv/ä b.js',
    appArguments: ['--x', ''],
    appFlags: [],
    settings,
    set: { 'cache.users.ttl': '0ms' },
    chosen: ['port'],
  }
  const text = encodeWorkerConfig(config)
  assert.match(text, /^[\w-]+$/)
  assert.deepEqual(decodeWorkerConfig(text), config)
})
