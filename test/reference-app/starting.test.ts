import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { freePort } from '../process/support/free-port.ts'
import { AppError, formatError } from './app-error.ts'
import { formatMigrations, formatSeed } from './database/release-report.ts'
import { cacheText, formatDatabase } from './starting/announce.ts'
import { checkPort } from './starting/check-port.ts'
import { RELEASE_CONFIG, readRunFlags, urlOf } from './starting/run-flags.ts'

test('without flags the config file of the app applies: two workers, this machine only', async () => {
  const flags = readRunFlags([], {})
  assert.deepEqual(flags.args, ['--config', RELEASE_CONFIG])
  const { default: config } = await import('./punctual.config.ts')
  assert.deepEqual([config.workers, config.host], [2, flags.host])
  assert.deepEqual([flags.port, flags.adminPort, flags.stateDir], [3000, 19464, '.punctual'])
})

test('a flag overrides a variable', () => {
  const env = { PUNCTUAL_WORKERS: '3', PUNCTUAL_PORT: '4000', HOST: '0.0.0.0' }
  const flags = readRunFlags(['--port=5000', '--admin-port', '9000'], env)
  assert.deepEqual(flags.args, ['--config', RELEASE_CONFIG, '--port=5000', '--admin-port', '9000'])
  assert.deepEqual([flags.host, flags.port, flags.adminPort], ['0.0.0.0', 5000, 9000])
})

test('arguments after -- belong to the app', () => {
  const flags = readRunFlags(['--', '--port', '7'], {})
  assert.equal(flags.port, 3000)
  assert.deepEqual(flags.args, ['--config', RELEASE_CONFIG, '--', '--port', '7'])
})

test('a given config file replaces that of the app', () => {
  const flags = readRunFlags(['--config', 'mine.ts'], {})
  assert.ok(flags.hasConfig)
  assert.deepEqual(flags.args, ['--config', 'mine.ts'])
})

test('a port in use is rejected with its flag; a free and an invalid one are not', async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const { port } = other.address() as AddressInfo
  try {
    for (const host of ['127.0.0.1', '0.0.0.0']) {
      await assert.rejects(checkPort(host, port, '--port', 'the app'), {
        code: 'PORT_TAKEN',
        details: { port, flag: '--port', what: 'the app' },
      })
    }
  } finally {
    await new Promise((resolve) => other.close(resolve))
  }
  await checkPort('127.0.0.1', await freePort(), '--port', 'the app')
  await checkPort('127.0.0.1', Number.NaN, '--port', 'the app')
})

test('an error that ends a command has its code in brackets', () => {
  assert.equal(formatError(new AppError('PORT_TAKEN', 'port 1 is taken')), 'port 1 is taken (PORT_TAKEN)')
  assert.equal(formatError(new AppError('DATABASE_IN_USE', 'In use.')), 'In use (DATABASE_IN_USE).')
  assert.equal(formatError(new Error('it failed')), 'it failed')
})

test('the line about the cache says whether there is a Redis, without its password', () => {
  assert.equal(cacheText(undefined), 'in the memory of each worker alone (REDIS_URL has them share one)')
  assert.equal(cacheText('redis://me:secret@r:6379'), 'in the memory of each worker, and in Redis at r:6379')
})

test('the lines of a release say what was done and what already existed', () => {
  const database = 'PostgreSQL 18.4'
  assert.equal(
    formatMigrations({ database, migrations: ['0001-a', '0002-b'], migrationMs: 1_200 }),
    'PostgreSQL 18.4: ran 2 migrations in 1.2 s (0001-a, 0002-b)',
  )
  assert.equal(
    formatMigrations({ database, migrations: [], migrationMs: 3 }),
    'PostgreSQL 18.4: no migration is missing',
  )
  assert.equal(formatSeed({ seeded: 50, seedMs: 900 }), 'seeded 50 users in 900 ms')
  assert.equal(formatSeed({ seeded: 0, seedMs: 3 }), 'no user is missing')
})

test('addresses are formatted for a browser, without passwords', () => {
  assert.equal(urlOf('0.0.0.0', 3000), 'http://127.0.0.1:3000')
  assert.equal(urlOf('::1', 3000), 'http://[::1]:3000')
  assert.equal(formatDatabase('postgres://me:secret@db.example/app'), 'db.example:5432/app')
  assert.equal(formatDatabase('sqlite:/var/lib/app.db'), '/var/lib/app.db')
})
