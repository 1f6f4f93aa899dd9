import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatTarget, formatTargetWithProtocol, socketTarget } from './socket-target.ts'

test('all forms of the arguments of connect are understood', () => {
  const forms: readonly (readonly [unknown[], string])[] = [
    [[5432, '10.0.0.7'], '10.0.0.7:5432'],
    [['5432', '10.0.0.7', (): void => {}], '10.0.0.7:5432'],
    [[5432], 'localhost:5432'],
    [[5432, (): void => {}], 'localhost:5432'],
    [[{ port: 6379, host: '::1' }], '[::1]:6379'],
    [[{ port: 80, path: null }], 'localhost:80'],
    [['/run/redis.sock'], '/run/redis.sock'],
    [[{ path: '/run/redis.sock' }], '/run/redis.sock'],
    [[[{ port: 443, host: 'api.example.com' }, null]], 'api.example.com:443'],
  ]
  for (const [args, expected] of forms) assert.equal(formatTarget(socketTarget(args)), expected)
})

test('the protocol is guessed from the port or the path, and omitted if unknown', () => {
  const format = (...args: unknown[]): string => formatTargetWithProtocol(socketTarget(args))
  assert.equal(format(5432, '10.0.0.7'), '10.0.0.7:5432 (postgresql)')
  assert.equal(format('/var/run/postgresql/.s.PGSQL.5433'), '/var/run/postgresql/.s.PGSQL.5433 (postgresql)')
  assert.equal(format('/run/redis-server.sock'), '/run/redis-server.sock (redis)')
  assert.equal(format(49_999, '10.0.0.7'), '10.0.0.7:49999')
  assert.equal(format('/tmp/own.sock'), '/tmp/own.sock')
})
