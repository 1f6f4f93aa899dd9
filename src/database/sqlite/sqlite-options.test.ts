import assert from 'node:assert/strict'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { readSqliteOptions, type SqliteOptions } from './sqlite-options.ts'

test('a path becomes absolute, and names the database', () => {
  const { path, name, readers, inMemory } = readSqliteOptions('data/portal.db', {})
  assert.deepEqual([path, name, readers, inMemory], [resolve('data/portal.db'), 'portal.db', 2, false])
  assert.equal(readSqliteOptions(pathToFileURL('/tmp/a b.db'), {}).path, '/tmp/a b.db')
  assert.equal(readSqliteOptions('file:///tmp/a%20b.db', {}).path, '/tmp/a b.db')
})

test('a database in memory has no readers', () => {
  const { path, name, readers } = readSqliteOptions(':memory:', {})
  assert.deepEqual([path, name, readers], [':memory:', 'memory', 0])
  assert.throws(() => readSqliteOptions(':memory:', { readers: 1 }), /belongs to one connection; leave readers away/)
})

test('what does not apply is refused by name', () => {
  const invalid = (option: string, given: unknown): void => {
    assert.throws(() => readSqliteOptions('x.db', { [option]: given }), {
      code: 'PUNCTUAL_INVALID_OPTION',
      details: { option, given },
    })
  }
  const refused = (options: object, message: RegExp, file: unknown = 'x.db'): void => {
    assert.throws(() => readSqliteOptions(file as string, options as SqliteOptions), message)
  }
  invalid('readers', -1)
  invalid('readers', 1.5)
  invalid('queryLimit', 'soon')
  refused({ queryLimit: 0 }, /queryLimit: 0 is no limit to work with; without limit is 'unbounded'/)
  refused({ synchronous: 'NORMAL; DROP' }, /synchronous is one of off, normal, full, extra, not NORMAL; DROP/)
  refused({ name: '' }, /a name is a string that is not empty/)
  refused({}, /give the path of a file, or ':memory:', not an empty text/, '')
  refused({}, /not object/, null)
  refused({}, /SQLite's parameters \(mode, cache, …\) are not taken/, 'file:x?mode=memory')
  refused({}, /is no address of a file alone/, new URL('https://example.org/x.db'))
})

test('an onEvent that throws fails neither the query nor the timer that it is told from', async () => {
  const onEvent = (): never => {
    throw new Error('no log')
  }
  const settings = readSqliteOptions('x.db', { onEvent })
  const warned = once(process, 'warning')
  settings.onEvent({ type: 'open', severity: 'info', database: 'x.db', message: 'x.db is open' } as never)
  const [{ message }] = (await warned) as [Error]
  assert.match(message, /onEvent of openSqlite "x.db" failed: Error: no log; it was told: x.db is open/)
})
