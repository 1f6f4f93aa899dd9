import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ms, UNBOUNDED } from '../resilience/duration.ts'
import { type Observation, type StallDecision, StallDetector, type StallThresholds } from './stall-detector.ts'

const INTERVAL = ms(25)
const LIMITS: StallThresholds = {
  report: ms(1_000),
  bootReport: ms(5_000),
  interrupt: ms(2_000),
  kill: ms(3_000),
  action: 'kill',
}

/** Looks every 25 ms from `from` to `to`. Returns what was due, and when. */
function watch(
  detector: StallDetector,
  from: number,
  to: number,
  look: Partial<Observation>,
): [number, StallDecision][] {
  const due: [number, StallDecision][] = []
  for (let now = from; now <= to; now += INTERVAL) {
    const decision = detector.look({ now, lastBeat: from, booting: false, debugged: false, blockingUntil: 0, ...look })
    if (decision !== 'none') due.push([now, decision])
  }
  return due
}

test('each stage is due once, when its threshold has passed', () => {
  assert.deepEqual(watch(new StallDetector(LIMITS, INTERVAL), 1_000, 9_000, {}), [
    [2_000, 'report'],
    [3_000, 'interrupt'],
    [4_000, 'kill'],
  ])
})

test('a reported stall is interrupted at the deadline of its request, if that is sooner', () => {
  const limits: StallThresholds = { ...LIMITS, interrupt: ms(8_000), kill: ms(9_000) }
  assert.deepEqual(watch(new StallDetector(limits, INTERVAL), 1_000, 6_000, { interruptAt: 3_500 }), [
    [2_000, 'report'],
    [3_500, 'interrupt'],
  ])
  // Even a deadline that has passed does not interrupt before the report.
  const [first, second] = watch(new StallDetector(limits, INTERVAL), 1_000, 6_000, { interruptAt: 0 })
  assert.deepEqual(
    [first, second],
    [
      [2_000, 'report'],
      [2_025, 'interrupt'],
    ],
  )
  const reportOnly: StallThresholds = { ...limits, action: 'report' }
  assert.deepEqual(watch(new StallDetector(reportOnly, INTERVAL), 1_000, 20_000, { interruptAt: 3_500 }), [
    [2_000, 'report'],
  ])
})

test('nothing is due before the first heartbeat', () => {
  assert.deepEqual(watch(new StallDetector(LIMITS, INTERVAL), 1_000, 9_000, { lastBeat: 0 }), [])
})

test('nothing is due while the loop turns', () => {
  const detector = new StallDetector(LIMITS, INTERVAL)
  for (let now = 1_000; now < 60_000; now += 50) {
    assert.equal(detector.look({ now, lastBeat: now, booting: false, debugged: false, blockingUntil: 0 }), 'none')
    assert.equal(
      detector.look({ now: now + 25, lastBeat: now, booting: false, debugged: false, blockingUntil: 0 }),
      'none',
    )
  }
})

test('a reported stall ends once, with its length; a shorter one does not', () => {
  const detector = new StallDetector(LIMITS, INTERVAL)
  watch(detector, 1_000, 2_500, {})
  const turned = { now: 2_525, lastBeat: 2_510, booting: false, debugged: false, blockingUntil: 0 }
  assert.equal(detector.look(turned), 'ended')
  assert.equal(detector.stalledFor, 1_500)
  assert.equal(detector.look({ ...turned, now: 2_550 }), 'none')

  watch(detector, 2_575, 3_000, {})
  assert.equal(detector.look({ ...turned, now: 3_025, lastBeat: 3_010 }), 'none')
  assert.equal(detector.stalledFor, 0)
})

test('the next stall counts from its own start', () => {
  const detector = new StallDetector(LIMITS, INTERVAL)
  watch(detector, 1_000, 3_000, {})
  assert.deepEqual(watch(detector, 3_025, 5_025, {}), [
    [3_025, 'ended'],
    [4_025, 'report'],
    [5_025, 'interrupt'],
  ])
})

test('a stall goes no further than the action allows', () => {
  const stages = (action: StallThresholds['action']): StallDecision[] =>
    watch(new StallDetector({ ...LIMITS, action }, INTERVAL), 1_000, 9_000, {}).map(([, decision]) => decision)
  assert.deepEqual(stages('report'), ['report'])
  assert.deepEqual(stages('interrupt'), ['report', 'interrupt'])
})

test('while a worker boots a stall is only reported, and later', () => {
  assert.deepEqual(watch(new StallDetector(LIMITS, INTERVAL), 1_000, 9_000, { booting: true }), [[6_000, 'report']])
})

test('an unbounded threshold is never due', () => {
  const detector = new StallDetector({ ...LIMITS, interrupt: UNBOUNDED, kill: UNBOUNDED }, INTERVAL)
  assert.deepEqual(watch(detector, 1_000, 100_000, {}), [[2_000, 'report']])
})

test('time in which the process did not run does not count', () => {
  const detector = new StallDetector(LIMITS, INTERVAL)
  assert.deepEqual(watch(detector, 1_000, 1_500, {}), [])
  // Stopped for a minute; then the main thread is stalled for the rest of the second.
  const due = watch(detector, 61_500, 62_100, { lastBeat: 1_000 })
  assert.equal(due.length, 1)
  const [at, decision] = due[0] ?? [0, 'none']
  assert.equal(decision, 'report')
  assert.ok(at >= 61_950 && at <= 62_050, `due at ${at}`)
})

test('nothing is due while a debugger is attached; the stall counts from the end of that', () => {
  const detector = new StallDetector(LIMITS, INTERVAL)
  assert.deepEqual(watch(detector, 1_000, 9_000, { debugged: true }), [])
  assert.deepEqual(watch(detector, 9_025, 10_100, { lastBeat: 1_000 }), [[10_000, 'report']])
})

test('a blocking job counts from the end of its timeout', () => {
  assert.deepEqual(watch(new StallDetector(LIMITS, INTERVAL), 1_000, 9_000, { blockingUntil: 6_000 }), [
    [7_000, 'report'],
    [8_000, 'interrupt'],
    [9_000, 'kill'],
  ])
})

test('a late look finds the last stage that is due', () => {
  const detector = new StallDetector(LIMITS, ms(1_000))
  const look = { lastBeat: 1_000, booting: false, debugged: false, blockingUntil: 0 }
  assert.equal(detector.look({ now: 1_000, ...look }), 'none')
  assert.equal(detector.look({ now: 4_500, ...look }), 'kill')
  assert.equal(detector.look({ now: 5_000, ...look }), 'none')
})
