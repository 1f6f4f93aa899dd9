import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ms, UNBOUNDED } from '../resilience/duration.ts'
import { type Observation, type StallDecision, StallDetector, type StallThresholds } from './stall-detector.ts'

const INTERVAL = ms(25)
const LIMITS: StallThresholds = { report: ms(1_000), interrupt: ms(2_000), kill: ms(3_000), action: 'kill' }

/** Looks every 25 ms from `from` to `to`, and gives what was due and when. */
function watch(judge: StallDetector, from: number, to: number, look: Partial<Observation>): [number, StallDecision][] {
  const due: [number, StallDecision][] = []
  for (let now = from; now <= to; now += INTERVAL) {
    const verdict = judge.look({ now, lastBeat: from, booting: false, debugged: false, blockingUntil: 0, ...look })
    if (verdict !== 'none') due.push([now, verdict])
  }
  return due
}

test('each stage is due once, when its limit has passed', () => {
  assert.deepEqual(watch(new StallDetector(LIMITS, INTERVAL), 1_000, 9_000, {}), [
    [2_000, 'report'],
    [3_000, 'interrupt'],
    [4_000, 'kill'],
  ])
})

test('a reported stall is cut at the deadline of its request, if that is sooner', () => {
  const limits: StallThresholds = { report: ms(1_000), interrupt: ms(8_000), kill: ms(9_000), action: 'kill' }
  assert.deepEqual(watch(new StallDetector(limits, INTERVAL), 1_000, 6_000, { interruptAt: 3_500 }), [
    [2_000, 'report'],
    [3_500, 'interrupt'],
  ])
  // One that has passed already does not make it sooner than its explanation.
  const [first, second] = watch(new StallDetector(limits, INTERVAL), 1_000, 6_000, { interruptAt: 0 })
  assert.deepEqual(
    [first, second],
    [
      [2_000, 'report'],
      [2_025, 'interrupt'],
    ],
  )
  const told: StallThresholds = { ...limits, action: 'report' }
  assert.deepEqual(watch(new StallDetector(told, INTERVAL), 1_000, 20_000, { interruptAt: 3_500 }), [[2_000, 'report']])
})

test('a thread that has not turned yet is not judged', () => {
  assert.deepEqual(watch(new StallDetector(LIMITS, INTERVAL), 1_000, 9_000, { lastBeat: 0 }), [])
})

test('a loop that turns is never due, however long it is watched', () => {
  const judge = new StallDetector(LIMITS, INTERVAL)
  for (let now = 1_000; now < 60_000; now += 50) {
    assert.equal(judge.look({ now, lastBeat: now, booting: false, debugged: false, blockingUntil: 0 }), 'none')
    assert.equal(
      judge.look({ now: now + 25, lastBeat: now, booting: false, debugged: false, blockingUntil: 0 }),
      'none',
    )
  }
})

test('a stall that ends is told once, with its length; one too short to be told is not', () => {
  const judge = new StallDetector(LIMITS, INTERVAL)
  watch(judge, 1_000, 2_500, {})
  const turned = { now: 2_525, lastBeat: 2_510, booting: false, debugged: false, blockingUntil: 0 }
  assert.equal(judge.look(turned), 'ended')
  assert.equal(judge.stalledFor, 1_500)
  assert.equal(judge.look({ ...turned, now: 2_550 }), 'none')

  watch(judge, 2_575, 3_000, {})
  assert.equal(judge.look({ ...turned, now: 3_025, lastBeat: 3_010 }), 'none')
  assert.equal(judge.stalledFor, 0)
})

test('the next stall is judged from its own start', () => {
  const judge = new StallDetector(LIMITS, INTERVAL)
  watch(judge, 1_000, 3_000, {})
  assert.deepEqual(watch(judge, 3_025, 5_025, {}), [
    [3_025, 'ended'],
    [4_025, 'report'],
    [5_025, 'interrupt'],
  ])
})

test('a stall goes no further than the action allows', () => {
  const stages = (action: StallThresholds['action']): StallDecision[] =>
    watch(new StallDetector({ ...LIMITS, action }, INTERVAL), 1_000, 9_000, {}).map(([, verdict]) => verdict)
  assert.deepEqual(stages('report'), ['report'])
  assert.deepEqual(stages('interrupt'), ['report', 'interrupt'])
})

test('while a worker boots a stall is only reported', () => {
  assert.deepEqual(watch(new StallDetector(LIMITS, INTERVAL), 1_000, 9_000, { booting: true }), [[2_000, 'report']])
})

test('an unbounded limit is never due', () => {
  const judge = new StallDetector({ ...LIMITS, interrupt: UNBOUNDED, kill: UNBOUNDED }, INTERVAL)
  assert.deepEqual(watch(judge, 1_000, 100_000, {}), [[2_000, 'report']])
})

test('time in which the whole process did not run is not counted', () => {
  const judge = new StallDetector(LIMITS, INTERVAL)
  assert.deepEqual(watch(judge, 1_000, 1_500, {}), [])
  // Stopped for a minute; then the main thread stands still for the rest of the second.
  const due = watch(judge, 61_500, 62_100, { lastBeat: 1_000 })
  assert.equal(due.length, 1)
  const [at, verdict] = due[0] ?? [0, 'none']
  assert.equal(verdict, 'report')
  assert.ok(at >= 61_950 && at <= 62_050, `due at ${at}`)
})

test('a worker that is debugged is left alone, and its stall counts from the end of that', () => {
  const judge = new StallDetector(LIMITS, INTERVAL)
  assert.deepEqual(watch(judge, 1_000, 9_000, { debugged: true }), [])
  assert.deepEqual(watch(judge, 9_025, 10_100, { lastBeat: 1_000 }), [[10_000, 'report']])
})

test('a long turn counts from the end of its limit', () => {
  assert.deepEqual(watch(new StallDetector(LIMITS, INTERVAL), 1_000, 9_000, { blockingUntil: 6_000 }), [
    [7_000, 'report'],
    [8_000, 'interrupt'],
    [9_000, 'kill'],
  ])
})

test('a look that comes late still finds the furthest stage due', () => {
  const judge = new StallDetector(LIMITS, ms(1_000))
  const look = { lastBeat: 1_000, booting: false, debugged: false, blockingUntil: 0 }
  assert.equal(judge.look({ now: 1_000, ...look }), 'none')
  assert.equal(judge.look({ now: 4_500, ...look }), 'kill')
  assert.equal(judge.look({ now: 5_000, ...look }), 'none')
})
