import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ms } from '../../resilience/duration.ts'
import { Codel, Utilization } from './codel.ts'

const TARGET = 100
const INTERVAL = 1_000

/**
 * A server on a clock of its own: requests come at given instants, wait in one queue, and take some
 * time each.
 */
class Simulation {
  now = 0
  /** Milliseconds that one request takes. */
  cost = 10
  isHigh = true
  readonly codel = new Codel(
    { target: ms(TARGET), interval: ms(INTERVAL) },
    { begin: () => {}, isHigh: () => this.isHigh },
  )
  readonly #queue: number[] = []
  #nextAt = 0

  /**
   * Sends a request every `gap` milliseconds for `length` milliseconds, and returns how each ended.
   */
  run(length: number, gap: number): { waits: number[]; shed: number } {
    const end = this.now + length
    const waits: number[] = []
    let shed = 0
    this.#nextAt = Math.max(this.#nextAt, this.now)
    while (this.now < end) {
      for (; this.#nextAt <= this.now; this.#nextAt += gap) this.#queue.push(this.#nextAt)
      const came = this.#queue.shift()
      if (came === undefined) {
        this.now = this.#nextAt
      } else if (this.codel.take(this.now - came, this.now)) {
        shed++
        // A 503 takes time, too.
        this.now += 0.05
      } else {
        waits.push(this.now - came)
        this.now += this.cost
      }
    }
    return { waits, shed }
  }

  /** This many at once. */
  burst(count: number): void {
    for (let index = 0; index < count; index++) this.#queue.push(this.now)
  }
}

describe('controlled delay', () => {
  test('sheds nothing of a load that can be served', () => {
    const simulation = new Simulation()
    const { shed } = simulation.run(60_000, 11)
    assert.equal(shed, 0)
    assert.equal(simulation.codel.isCalm, true)
  })

  test('sheds nothing of a burst, however long its last request waits', () => {
    const simulation = new Simulation()
    for (let second = 0; second < 10; second++) {
      simulation.burst(80)
      const { waits, shed } = simulation.run(2_000, 50)
      assert.equal(shed, 0)
      assert.ok(Math.max(...waits) > 5 * TARGET, `${Math.max(...waits)}`)
    }
  })

  test('sheds a standing queue until the delay is bounded, and the server stays busy', () => {
    const simulation = new Simulation()
    // Twice the capacity.
    simulation.run(3_000, 5)
    assert.equal(simulation.codel.isOverloaded, true)
    const { waits, shed } = simulation.run(20_000, 5)
    assert.ok(Math.max(...waits) <= 2 * TARGET, `${Math.max(...waits)}`)
    assert.ok(shed > 0.4 * (shed + waits.length), `${shed} of ${shed + waits.length}`)
    assert.ok(waits.length > 0.9 * (20_000 / simulation.cost), `${waits.length}`)
  })

  test('copes with a hundred times the load that can be served', () => {
    const simulation = new Simulation()
    simulation.run(3_000, 0.1)
    const { waits } = simulation.run(10_000, 0.1)
    assert.ok(Math.max(...waits) <= 2 * TARGET, `${Math.max(...waits)}`)
    assert.ok(waits.length > 0.4 * (10_000 / simulation.cost), `${waits.length}`)
  })

  test('sheds a slight overload by the control law', () => {
    const simulation = new Simulation()
    simulation.run(30_000, 9.5)
    const { waits, shed } = simulation.run(30_000, 9.5)
    assert.ok(shed > 0)
    assert.ok(shed < 0.1 * (shed + waits.length), `${shed} of ${shed + waits.length}`)
  })

  test('sheds one request per interval divided by the root of their number, between the target and twice that', () => {
    const codel = new Codel({ target: ms(TARGET), interval: ms(INTERVAL) }, { begin: () => {}, isHigh: () => true })
    const shedAt: number[] = []
    for (let now = 0; now < 4_000; now++) if (codel.take(150, now)) shedAt.push(now)
    const expected = [1_000]
    for (let count = 1, at = 1_000; shedAt.length > expected.length; count++) {
      at += INTERVAL / Math.sqrt(count)
      expected.push(Math.ceil(at))
    }
    assert.ok(shedAt.length > 4)
    assert.deepEqual(shedAt, expected)
  })

  test('sheds nothing an interval after the load has fallen', () => {
    const simulation = new Simulation()
    simulation.run(10_000, 5)
    simulation.run(2 * INTERVAL, 20)
    assert.equal(simulation.codel.isOverloaded, false)
    assert.equal(simulation.run(10_000, 11).shed, 0)
    assert.equal(simulation.codel.isCalm, true)
  })

  test('ends overload without a request, too', () => {
    const simulation = new Simulation()
    simulation.run(5_000, 5)
    assert.equal(simulation.codel.isOverloaded, true)
    simulation.codel.look(simulation.now + INTERVAL / 2)
    assert.equal(simulation.codel.isOverloaded, true)
    simulation.codel.look(simulation.now + INTERVAL + 1)
    assert.equal(simulation.codel.isOverloaded, false)
    assert.equal(simulation.codel.isCalm, true)
  })

  test('sheds nothing that has waited elsewhere if the server is not fully used', () => {
    const simulation = new Simulation()
    simulation.isHigh = false
    for (let now = 0; now < 10_000; now += 10) assert.equal(simulation.codel.take(5_000, now), false)
    simulation.isHigh = true
    let shed = 0
    for (let now = 10_000; now < 12_100; now += 10) if (simulation.codel.take(5_000, now)) shed++
    assert.ok(shed > 0)
    // It stops when the server has time again.
    simulation.isHigh = false
    for (let now = 12_100; now < 13_200; now += 10) simulation.codel.take(5_000, now)
    assert.equal(simulation.codel.isOverloaded, false)
  })

  test('measures load over the interval in which the queue was standing', () => {
    const begun: number[] = []
    let clock = 0
    const meter = { begin: () => void begun.push(clock), isHigh: () => true }
    const codel = new Codel({ target: ms(TARGET), interval: ms(INTERVAL) }, meter)
    for (clock = 0; clock < 500; clock += 10) codel.take(0, clock)
    for (clock = 500; clock <= 1_500; clock += 10) codel.take(150, clock)
    assert.deepEqual(begun, [500, 1_500])
    assert.equal(codel.isOverloaded, true)
  })
})

test('utilization is that of the current period, not since the start of the process', async () => {
  const utilization = new Utilization()
  let idle = 1
  // The runner may be busy reporting other tests.
  for (let attempt = 0; attempt < 20 && idle > 0.8; attempt++) {
    utilization.begin()
    await sleep(50)
    idle = utilization.value
  }
  utilization.begin()
  const end = performance.now() + 50
  while (performance.now() < end);
  const busy = utilization.value
  assert.ok(idle < busy, `${idle} < ${busy}`)
  assert.equal(utilization.isFull, true)
  assert.ok(busy > 0.9, String(busy))
})
