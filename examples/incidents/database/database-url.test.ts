import assert from 'node:assert/strict'
import { test } from 'node:test'
import { databaseUrlOf, readDatabaseUrl } from './database-url.ts'

test('a PostgreSQL is told from a SQLite file, whose path becomes absolute', () => {
  for (const url of ['postgres://me:secret@db/app', 'postgresql://db/app']) {
    assert.deepEqual(readDatabaseUrl(url), { kind: 'postgres', url })
  }
  const path = `${process.cwd()}/data/a b%20.db`
  for (const url of ['sqlite:./data/a b%20.db', 'sqlite:data/a b%20.db', `sqlite:${path}`, `SQLITE:${path}`]) {
    assert.deepEqual(readDatabaseUrl(url), { kind: 'sqlite', path })
  }
})

test('what was read can be passed on', () => {
  for (const url of ['postgres://db/app', 'sqlite:/var/lib/app.db'])
    assert.equal(databaseUrlOf(readDatabaseUrl(url)), url)
})

test('an address that is none gets one clear message, with what to write instead and without a password', () => {
  const bad: [string, RegExp][] = [
    ['sqlite:', /names no file\. Give the path of a file/],
    ['sqlite: ', /names no file/],
    ['sqlite::memory:', /each worker would have a database in memory of its own/],
    ['sqlite:file::memory:?cache=shared', /each worker/],
    ['sqlite:///var/app.db', /write sqlite:\/absolute\/path/],
    ['sqlite:file:app.db', /an address within an address/],
    ['sqlite:app.db?mode=ro', /parameters are not taken/],
    ['sqlite:./data/', /names a directory/],
    ['mysql://me:secret@db/app', /begins with "mysql:".*postgres:\/\/.*sqlite:/],
    ['me:secret@db/app', /begins with "me:"/],
    ['localhost/app', /is no URL.*postgres:\/\/.*sqlite:/],
    ['postgres://me:secret@:x:y/', /is no URL of a PostgreSQL/],
  ]
  for (const [url, words] of bad) {
    assert.throws(
      () => readDatabaseUrl(url),
      ({ message }: Error) => words.test(message) && /DATABASE_URL/.test(message) && !/secret|\n/.test(message),
      url,
    )
  }
})
