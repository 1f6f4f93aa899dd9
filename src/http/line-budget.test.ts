import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LineBudget, type OmittedLines } from './line-budget.ts'

test('further lines within a second are counted by outcome and route, and reported once', () => {
  const reports: OmittedLines[] = []
  const budget = new LineBudget(2, (omitted) => reports.push(omitted))
  assert.deepEqual([budget.take(5_000), budget.take(5_100), budget.take(5_200)], [true, true, false])
  budget.omit('timed-out', '/auth', 5_200)
  budget.omit('timed-out', '/auth', 5_300)
  budget.omit('failed', '/', 5_300)
  assert.equal(budget.take(5_900), false)
  budget.flush()
  assert.deepEqual(reports, [{ lines: 3, outcomes: { 'timed-out': 2, failed: 1 }, routes: { '/auth': 2, '/': 1 } }])
})

test('a new second allows lines again, and has nothing to report', () => {
  const reports: OmittedLines[] = []
  const budget = new LineBudget(1, (omitted) => reports.push(omitted))
  assert.deepEqual(
    [budget.take(0), budget.take(999), budget.take(1_000), budget.take(1_001)],
    [true, false, true, false],
  )
  budget.flush()
  assert.deepEqual(reports, [])
})

test('clients that request many different paths cannot make the report grow', () => {
  const reports: OmittedLines[] = []
  const budget = new LineBudget(0, (omitted) => reports.push(omitted))
  for (let index = 0; index < 1_000; index++) budget.omit('failed', `/${index}`, 0)
  budget.flush()
  assert.equal(Object.keys(reports[0]?.routes ?? {}).length, 21)
  assert.equal(reports[0]?.routes.others, 980)
})

test('omitted lines are reported when their second is over', async () => {
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
