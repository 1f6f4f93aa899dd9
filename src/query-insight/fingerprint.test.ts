import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { DurationSketch, type Fingerprint, knownFingerprints } from './fingerprint.ts'
import { recordQuery } from './query-stats.ts'
import { queryText } from './query-text.ts'
import { RecentMap } from './recent-map.ts'

const MOST = 1_000
let made = 0

/** Runs new statements, one millisecond each. */
function askOthers(count: number): void {
  for (let left = count; left > 0; left--) ask(`select 1 from other_${made++}`, 1)
}

function ask(sql: string, duration: number): Fingerprint {
  const { fingerprint } = queryText(sql, 'main', true)
  recordQuery(fingerprint, duration, 1, false)
  return fingerprint
}

function known(part: string): readonly Fingerprint[] {
  return [...knownFingerprints()].filter(({ text }) => text.includes(part))
}

describe('the known fingerprints', () => {
  test('include a frequent statement as one fingerprint, however many others there are', () => {
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

  test('include the statement that took the most time, even if it is rare', () => {
    ask('select 1 from report', 30_000)
    askOthers(5 * MOST)
    ask('select 1 from report', 30_000)
    assert.deepEqual(
      known('report').map(({ count, totalMs }) => [count, totalMs]),
      [[2, 60_000]],
    )
  })

  test('include a new statement that ends after very many others', () => {
    const { fingerprint } = queryText('select 1 from slow', 'main', true)
    askOthers(3 * MOST)
    const later = queryText('select  1  from slow', 'main', true).fingerprint
    recordQuery(fingerprint, 10_000, 1, false)
    recordQuery(later, 10_000, 1, false)
    askOthers(3 * MOST)
    assert.deepEqual(
      known('slow').map(({ count, totalMs }) => [count, totalMs]),
      [[2, 20_000]],
    )
    assert.equal(ask('select 1 from slow', 1), known('slow')[0])
  })

  test('are limited in number', () => {
    askOthers(5 * MOST)
    const all = [...knownFingerprints()]
    assert.ok(all.length <= MOST && all.length >= MOST / 2, `${all.length}`)
    assert.equal(new Set(all.map(({ id }) => id)).size, all.length)
  })

  test('have different ids for PostgreSQL and SQLite', () => {
    const sql = 'select 1 from both'
    const ids = [true, false].map((isPostgres) => queryText(sql, 'main', isPostgres).fingerprint.id)
    assert.notEqual(ids[0], ids[1])
  })
})

describe('DurationSketch', () => {
  test('returns quantiles to within an eighth', () => {
    const sketch = new DurationSketch()
    for (let n = 1; n <= 10_000; n++) sketch.add(n / 10)
    for (const share of [0.1, 0.5, 0.9, 0.99]) {
      const found = sketch.quantile(share)
      const right = share * 1_000
      assert.ok(Math.abs(found - right) / right < 0.125, `${share}: ${found}, not ${right}`)
    }
  })

  test('accepts any duration', () => {
    const sketch = new DurationSketch()
    assert.equal(sketch.quantile(0.99), 0)
    for (const duration of [0, -1, 1e15]) sketch.add(duration)
    assert.ok(sketch.quantile(0.5) < 0.1)
    assert.ok(sketch.quantile(1) > 1e7)
  })
})

describe('RecentMap', () => {
  test('is limited in size and keeps the entries in use', () => {
    const map = new RecentMap<number, number>(100)
    map.set(-1, -1)
    for (let n = 0; n < 10_000; n++) {
      map.set(n, n)
      assert.equal(map.get(-1), -1)
    }
    let kept = 0
    for (let n = 9_999; n >= 0; n--) if (map.get(n) !== undefined) kept++
    assert.ok(kept <= 100 && kept >= 49, `${kept}`)
  })
})
