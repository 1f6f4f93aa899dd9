import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Fingerprint } from './fingerprint.ts'
import { knownFingerprints } from './known-fingerprints.ts'
import { bookQuery } from './query-book.ts'
import { queryText } from './query-text.ts'

const MOST = 1_000
let made = 0

/** Statements that nobody has asked before, a millisecond each. */
function askOthers(count: number): void {
  for (let left = count; left > 0; left--) ask(`select 1 from other_${made++}`, 1)
}

function ask(sql: string, duration: number): Fingerprint {
  const { fingerprint } = queryText(sql, 'main', true)
  bookQuery(fingerprint, duration, 1, false)
  return fingerprint
}

function known(part: string): readonly Fingerprint[] {
  return [...knownFingerprints()].filter(({ text }) => text.includes(part))
}

describe('the fingerprints that are known', () => {
  test('have the one that is asked all the time, as one, however many others there are', () => {
    const asked = 5_000
    for (let left = asked; left > 0; left--) {
      ask('select 1 from hot', 1)
      askOthers(1)
    }
    const another = ask('select  1  from hot', 1)
    assert.deepEqual(
      known('hot').map(({ count }) => count),
      [asked + 1],
    )
    assert.equal(another, ask('select 1 from hot', 1))
  })

  test('have what took the most time, also when it is seldom asked', () => {
    ask('select 1 from report', 30_000)
    askOthers(5 * MOST)
    ask('select 1 from report', 30_000)
    assert.deepEqual(
      known('report').map(({ count, totalMs }) => [count, totalMs]),
      [[2, 60_000]],
    )
  })

  test('have what is asked for the first time while very many others are, once it has ended', () => {
    const { fingerprint } = queryText('select 1 from slow', 'main', true)
    askOthers(3 * MOST)
    const later = queryText('select  1  from slow', 'main', true).fingerprint
    bookQuery(fingerprint, 10_000, 1, false)
    bookQuery(later, 10_000, 1, false)
    askOthers(3 * MOST)
    assert.deepEqual(
      known('slow').map(({ count, totalMs }) => [count, totalMs]),
      [[2, 20_000]],
    )
    assert.equal(ask('select 1 from slow', 1), known('slow')[0])
  })

  test('are bounded', () => {
    askOthers(5 * MOST)
    const all = [...knownFingerprints()]
    assert.ok(all.length <= MOST && all.length >= MOST / 2, `${all.length}`)
    assert.equal(new Set(all.map(({ id }) => id)).size, all.length)
  })

  test('have names of their own for PostgreSQL and for SQLite', () => {
    const sql = 'select 1 from both'
    const ids = [true, false].map((isPostgres) => queryText(sql, 'main', isPostgres).fingerprint.id)
    assert.notEqual(ids[0], ids[1])
  })
})
