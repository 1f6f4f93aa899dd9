import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { DurationSketch } from './duration-sketch.ts'
import { RecentMap } from './recent-map.ts'

describe('a sketch of durations', () => {
  test('knows quantiles to within an eighth', () => {
    const sketch = new DurationSketch()
    for (let n = 1; n <= 10_000; n++) sketch.add(n / 10)
    for (const share of [0.1, 0.5, 0.9, 0.99]) {
      const found = sketch.quantile(share)
      const right = share * 1_000
      assert.ok(Math.abs(found - right) / right < 0.125, `${share}: ${found}, not ${right}`)
    }
  })

  test('takes whatever it is given', () => {
    const sketch = new DurationSketch()
    assert.equal(sketch.quantile(0.99), 0)
    for (const duration of [0, -1, 1e15]) sketch.add(duration)
    assert.ok(sketch.quantile(0.5) < 0.1)
    assert.ok(sketch.quantile(1) > 1e7)
  })
})

describe('a map of what was used lately', () => {
  test('stays bounded, and keeps what is used', () => {
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
