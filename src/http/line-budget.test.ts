import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LineBudget, type OmittedLines } from './line-budget.ts'

test('so many lines a second are written, the rest counted by outcome and route and told at once', () => {
  const told: OmittedLines[] = []
  const budget = new LineBudget(2, (left) => told.push(left))
  assert.deepEqual([budget.take(5_000), budget.take(5_100), budget.take(5_200)], [true, true, false])
  budget.omit('timed-out', '/auth', 5_200)
  budget.omit('timed-out', '/auth', 5_300)
  budget.omit('failed', '/', 5_300)
  assert.equal(budget.take(5_900), false)
  budget.flush()
  assert.deepEqual(told, [{ lines: 3, outcomes: { 'timed-out': 2, failed: 1 }, routes: { '/auth': 2, '/': 1 } }])
})

test('a new second has lines again, and nothing to tell', () => {
  const told: OmittedLines[] = []
  const budget = new LineBudget(1, (left) => told.push(left))
  assert.deepEqual(
    [budget.take(0), budget.take(999), budget.take(1_000), budget.take(1_001)],
    [true, false, true, false],
  )
  budget.flush()
  assert.deepEqual(told, [])
})

test('clients that ask for ever new paths cannot make the line grow', () => {
  const told: OmittedLines[] = []
  const budget = new LineBudget(0, (left) => told.push(left))
  for (let index = 0; index < 1_000; index++) budget.omit('failed', `/${index}`, 0)
  budget.flush()
  assert.equal(Object.keys(told[0]?.routes ?? {}).length, 21)
  assert.equal(told[0]?.routes.others, 980)
})

test('what was left out is told without being asked, when its second is over', async () => {
  const hold = setInterval(() => {}, 1_000)
  try {
    const left = await new Promise<OmittedLines>((resolve) => {
      new LineBudget(0, resolve).omit('shed', '/', 0)
    })
    assert.equal(left.lines, 1)
  } finally {
    clearInterval(hold)
  }
})
