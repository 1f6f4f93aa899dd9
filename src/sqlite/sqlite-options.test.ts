import assert from 'node:assert/strict'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { readSqliteOptions } from './sqlite-options.ts'

function invalidOption(option: string, given: unknown): object {
  return { code: 'PUNCTUAL_INVALID_OPTION', details: { option, given } }
}

test('the path becomes absolute', () => {
  const { path, name, readers, inMemory } = readSqliteOptions('portal', 'data/portal.db', {})
  assert.deepEqual([path, name, readers, inMemory], [resolve('data/portal.db'), 'portal', 2, false])
  assert.equal(readSqliteOptions('portal', pathToFileURL('/tmp/a b.db'), {}).path, '/tmp/a b.db')
  assert.equal(readSqliteOptions('portal', 'file:///tmp/a%20b.db', {}).path, '/tmp/a b.db')
})

test('a database in memory has no readers', () => {
  const { path, readers } = readSqliteOptions('cache', ':memory:', {})
  assert.deepEqual([path, readers], [':memory:', 0])
  assert.throws(() => readSqliteOptions('cache', ':memory:', { readers: 1 }), invalidOption('readers', 1))
})

test('an invalid option is rejected by name', () => {
  const invalid = (option: string, given: unknown): void => {
    assert.throws(() => readSqliteOptions('x', 'x.db', { [option]: given }), invalidOption(option, given))
  }
  invalid('readers', -1)
  invalid('readers', 1.5)
  invalid('queryTimeout', 0)
  invalid('queryTimeout', 'soon')
  invalid('synchronous', 'NORMAL; DROP')
  assert.throws(() => readSqliteOptions('', 'x.db', {}), invalidOption('name', ''))
})

test('anything but the path of a file is rejected', () => {
  const invalid = (file: unknown, given: unknown = file): void => {
    assert.throws(() => readSqliteOptions('x', file as string, {}), invalidOption('file', given))
  }
  invalid('')
  invalid(null)
  invalid('a\0b')
  invalid('file:x?mode=memory')
  invalid(new URL('https://example.org/x.db'), 'https://example.org/x.db')
})

test('an onEvent that throws becomes a process warning', async () => {
  const onEvent = (): never => {
    throw new Error('no log')
  }
  const settings = readSqliteOptions('x', 'x.db', { onEvent })
  const warned = once(process, 'warning')
  settings.onEvent({ type: 'open', severity: 'info', database: 'x.db', message: 'x.db is open' } as never)
  const [{ code }] = (await warned) as [NodeJS.ErrnoException]
  assert.equal(code, 'PUNCTUAL_LISTENER_FAILED')
})
