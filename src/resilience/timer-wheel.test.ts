import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { execFileSync } from 'node:child_process'
import { describe, it } from 'node:test'
import { monotonicNow, pause } from './clock.ts'
import { ms } from './duration.ts'
import { ManualClock } from './manual-clock.ts'
import { TimerWheel, WheelEntry, waitWheel } from './timer-wheel.ts'

class Entry extends WheelEntry {
  readonly due: number
  readonly #run: (entry: Entry) => void

  constructor(due: number, run: (entry: Entry) => void) {
    super()
    this.due = due
    this.#run = run
  }

  override expire(): void {
    this.#run(this)
  }
}

/** Mulberry32 by Tommy Ettinger (public domain): a failure can be repeated. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

describe('the timer wheel', () => {
  it('lets an entry set itself again while it runs, a round ahead, without running it at once', async () => {
    // A real loop: the run must be late by a fraction of a millisecond for the new time to fall
    // into the slot that is being walked.
    let runs = 0
    let early = 0
    await new Promise<void>((resolve) => {
      const again = (): void => {
        const due = monotonicNow() + 30
        waitWheel.set(
          new Entry(due, () => {
            if (monotonicNow() < due) early++
            if (++runs < 40 && early === 0) again()
            else resolve()
          }),
          due,
          true,
        )
      }
      again()
    })
    assert.deepEqual({ runs, early }, { runs: 40, early: 0 })
  })

  it('runs every entry on time, never early and less than a millisecond late, at any distance', async () => {
    const clock = new ManualClock(0.5)
    const ran: string[] = []
    for (const due of [
      0.6,
      1,
      31.5,
      32.5,
      33.2,
      1_023.9,
      1_025,
      32_768.5,
      40_000.25,
      1_048_577,
      40_000_000.5,
      2 ** 31,
    ]) {
      const entry = new Entry(due, () => {
        const late = clock.now() - due
        ran.push(late >= 0 && late < 1 ? `${due}` : `${due} at ${clock.now()}`)
      })
      clock.wheel.set(entry, due, false)
    }
    await clock.advance(2 ** 31 + 10)
    assert.deepEqual(ran, [
      '0.6',
      '1',
      '31.5',
      '32.5',
      '33.2',
      '1023.9',
      '1025',
      '32768.5',
      '40000.25',
      '1048577',
      '40000000.5',
      `${2 ** 31}`,
    ])
    assert.equal(clock.wheel.size, 0)
    assert.equal(clock.armed, 0)
  })

  it('keeps entries beyond its span of more than a year', async () => {
    const clock = new ManualClock()
    const day = 86_400_000
    let ran = 0
    clock.wheel.set(new Entry(0, () => ran++), 900 * day, false)
    await clock.advance(900 * day - 1)
    assert.equal(ran, 0)
    await clock.advance(1)
    assert.equal(ran, 1)
  })

  for (const seed of [1, 2, 3, 4]) {
    it(`agrees with a sorted list, for any entries set, cancelled and jumped over (seed ${seed})`, async () => {
      const random = randomFrom(seed)
      const clock = new ManualClock(random() * 1e9)
      const expected = new Set<Entry>()
      let fired: Entry[] = []
      const expire = (entry: Entry): void => {
        assert.ok(clock.now() >= entry.due, `${entry.due} ran at ${clock.now()}`)
        assert.ok(expected.delete(entry), 'ran twice, or after it was cancelled')
        fired.push(entry)
        if (random() < 0.3) add()
      }
      const add = (): void => {
        const entry = new Entry(clock.now() + Math.floor(4 ** (random() * 12)) * random(), expire)
        expected.add(entry)
        clock.wheel.set(entry, entry.due, random() < 0.5)
      }
      for (let step = 0; step < 400; step++) {
        for (let count = random() * 8; count > 0; count--) add()
        for (const entry of expected) {
          if (random() > 0.1) continue
          expected.delete(entry)
          assert.equal(clock.wheel.cancel(entry), true)
          assert.equal(clock.wheel.cancel(entry), false)
        }
        fired = []
        const by = 4 ** (random() * 9)
        if (random() < 0.3) {
          clock.jump(by)
          await clock.settle()
        } else {
          await clock.advance(by)
        }
        for (const entry of expected)
          assert.ok(entry.due > clock.now() - 1, `${entry.due} has not run at ${clock.now()}`)
        assert.equal(clock.wheel.size, expected.size)
        assert.ok(clock.armed <= 1)
      }
    })
  }

  it('runs what was due while the loop was blocked in order', async () => {
    const clock = new ManualClock()
    const ran: number[] = []
    for (const due of [5_000, 20, 70_000, 900, 33, 1, 40_000]) {
      clock.wheel.set(new Entry(due, () => ran.push(due)), due, false)
    }
    clock.jump(60_000)
    await clock.settle()
    assert.deepEqual(ran, [1, 20, 33, 900, 5_000, 40_000])
  })

  it('runs the other entries in the next turn if one throws', async () => {
    const clock = new ManualClock()
    const ran: number[] = []
    for (const due of [10, 10, 11]) {
      clock.wheel.set(
        new Entry(due, () => {
          ran.push(due)
          if (ran.length === 1) throw new Error('planted')
        }),
        due,
        false,
      )
    }
    clock.jump(20)
    await assert.rejects(clock.settle(), /planted/)
    await clock.advance(2)
    assert.deepEqual(ran, [10, 10, 11])
  })

  it('lets a running entry cancel and set others', async () => {
    const clock = new ManualClock()
    const ran: string[] = []
    const cancelled = new Entry(10, () => ran.push('cancelled'))
    const first = new Entry(10, (self) => {
      ran.push('first')
      clock.wheel.cancel(cancelled)
      if (ran.length === 1) clock.wheel.set(self, 10, false)
    })
    clock.wheel.set(first, 10, false)
    clock.wheel.set(cancelled, 10, false)
    await clock.advance(100)
    assert.deepEqual(ran, ['first', 'first'])
  })

  it('moves an entry that is set twice, and ignores one without an end', async () => {
    const clock = new ManualClock()
    let ran = 0
    const entry = new Entry(0, () => ran++)
    clock.wheel.set(entry, 10, true)
    clock.wheel.set(entry, 20, false)
    clock.wheel.set(new Entry(0, () => ran++), Number.POSITIVE_INFINITY, true)
    assert.equal(clock.wheel.size, 1)
    await clock.advance(1_000)
    assert.equal(ran, 1)
  })

  it('sets no timer while it is empty, and lets that of a cancelled entry run without effect', async () => {
    const clock = new ManualClock()
    assert.equal(clock.armed, 0)
    const entry = new Entry(0, () => {})
    clock.wheel.set(entry, 50, false)
    assert.equal(clock.armed, 1)
    clock.wheel.cancel(entry)
    await clock.advance(60)
    assert.equal(clock.armed, 0)
  })

  it('runs nothing early by the clock of the machine', async () => {
    const early: string[] = []
    const left = new Set<Entry>()
    const wheel = new TimerWheel()
    await new Promise<void>((resolve) => {
      for (let index = 0; index < 200; index++) {
        const due = monotonicNow() + index * 0.37
        const entry = new Entry(due, (self) => {
          if (monotonicNow() < due) early.push(`${due}`)
          left.delete(self)
          if (left.size === 0) resolve()
        })
        left.add(entry)
        wheel.set(entry, due, true)
      }
    })
    assert.deepEqual(early, [])
  })

  it('runs entries outside of the context of the request that set the timer', async () => {
    const storage = new AsyncLocalStorage<string>()
    const seen = await new Promise<string | undefined>((resolve) => {
      storage.run('a request', () => {
        const entry = new Entry(0, () => resolve(storage.getStore()))
        new TimerWheel().set(entry, monotonicNow() + 1, true)
      })
    })
    assert.equal(seen, undefined)
  })

  it('keeps the process alive only for entries that hold it', () => {
    const run = (code: string): string => {
      const wheel = JSON.stringify(new URL('./timer-wheel.ts', import.meta.url).href)
      const script = `import { waitWheel, WheelEntry } from ${wheel}
        class Entry extends WheelEntry { expire() { console.log('ran') } }
        const one = new Entry(), two = new Entry(), now = waitWheel.now()
        ${code}`
      return execFileSync(process.execPath, ['--input-type=module', '-e', script], {
        encoding: 'utf8',
        timeout: 60_000,
      })
    }
    assert.equal(run('waitWheel.set(one, now + 20, true)'), 'ran\n')
    assert.equal(run('waitWheel.set(two, now + 9e5, false); waitWheel.set(one, now + 20, true)'), 'ran\n')
    assert.equal(run('waitWheel.set(one, now + 9e5, false)'), '')
    assert.equal(run('waitWheel.set(one, now + 9e5, true); waitWheel.cancel(one)'), '')
  })

  it('uses the clock of the machine for the wheel of this process', async () => {
    const before = waitWheel.now()
    await pause(ms(1))
    assert.ok(waitWheel.now() > before)
  })
})
