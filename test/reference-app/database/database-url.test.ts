import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SettingError } from '../app-error.ts'
import { databaseUrlOf, readDatabaseUrl } from './database-url.ts'

test('PostgreSQL and SQLite URLs are distinguished, and a path becomes absolute', () => {
  for (const url of ['postgres://me:secret@db/app', 'postgresql://db/app']) {
    assert.deepEqual(readDatabaseUrl(url), { kind: 'postgres', url })
  }
  const path = `${process.cwd()}/data/a b%20.db`
  for (const url of ['sqlite:./data/a b%20.db', 'sqlite:data/a b%20.db', `sqlite:${path}`, `SQLITE:${path}`]) {
    assert.deepEqual(readDatabaseUrl(url), { kind: 'sqlite', path })
  }
})

test('a parsed URL can be formatted again', () => {
  for (const url of ['postgres://db/app', 'sqlite:/var/lib/app.db'])
    assert.equal(databaseUrlOf(readDatabaseUrl(url)), url)
})

test('an invalid URL is rejected with a one-line message and a reason, without its password', () => {
  const bad: [string, string][] = [
    ['sqlite:', 'no-file'],
    ['sqlite: ', 'no-file'],
    ['sqlite::memory:', 'in-memory'],
    ['sqlite:file::memory:?cache=shared', 'in-memory'],
    ['sqlite:///var/app.db', 'ambiguous-slashes'],
    ['sqlite:file:app.db', 'nested-url'],
    ['sqlite:app.db?mode=ro', 'parameters'],
    ['sqlite:./data/', 'directory'],
    ['mysql://me:secret@db/app', 'other-scheme'],
    ['me:secret@db/app', 'other-scheme'],
    ['localhost/app', 'no-url'],
    ['postgres://me:secret@:x:y/', 'no-url'],
  ]
  for (const [url, reason] of bad) {
    assert.throws(
      () => readDatabaseUrl(url),
      (error) => {
        assert.ok(error instanceof SettingError)
        assert.deepEqual(error.details, { name: 'DATABASE_URL', reason }, url)
        assert.doesNotMatch(error.message, /secret|\n/)
        return true
      },
    )
  }
})
