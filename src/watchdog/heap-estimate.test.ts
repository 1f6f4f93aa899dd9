import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { getHeapStatistics } from 'node:v8'
import { HeapEstimate, heapLimit } from './heap-estimate.ts'
import { Pulse } from './pulse.ts'

const MIB = 1024 * 1024

/** A main thread with a heartbeat, in a process of a given size. */
class Process {
  readonly pulse = new Pulse()
  rss = 200 * MIB
  readonly heap = new HeapEstimate(this.pulse, () => this.rss)

  beats(heapUsed: number): this {
    this.pulse.lastBeat++
    this.pulse.setHeap(heapUsed * MIB, 100 * MIB)
    return this
  }
}

describe('HeapEstimate', () => {
  it('is the figure of the main thread while the loop turns, for any size of the process', () => {
    const one = new Process()
    assert.equal(one.beats(10).heap.look(), 10 * MIB)
    one.rss = 900 * MIB
    assert.equal(one.heap.look(), 100 * MIB)
    assert.equal(one.beats(12).heap.look(), 12 * MIB)
  })

  it('grows with the process during a stall, up to the limit', () => {
    const one = new Process()
    one.beats(10).heap.look()
    one.rss += 30 * MIB
    assert.equal(one.heap.look(), 40 * MIB)
    one.rss -= 80 * MIB
    assert.equal(one.heap.look(), 10 * MIB)
    one.rss += 700 * MIB
    assert.equal(one.heap.look(), 100 * MIB)
  })

  it('becomes full once, and again after it was not full', () => {
    const one = new Process()
    const full = [70, 90, 95, 50, 90].map((used) => one.beats(used).heap.becameFull())
    assert.deepEqual(full, [false, true, false, false, true])
  })

  it('is never full while the app boots or before its limit is known', () => {
    const one = new Process()
    assert.equal(one.heap.becameFull(), false)
    one.pulse.booting = true
    assert.equal(one.beats(90).heap.becameFull(), false)
  })
})

describe('heapLimit', () => {
  it('is that of the last flag, in any spelling', () => {
    const size = 48 * 1024 * 1024
    assert.equal(heapLimit(['--max-old-space-size=48']), size)
    assert.equal(heapLimit(['--no-warnings --max_old_space_size 48', '--expose-gc']), size)
    assert.equal(heapLimit(['--max-old-space-size=99', '--max-old-space-size=48']), size)
  })

  it('is the limit of V8 without a flag, and never more', () => {
    const { heap_size_limit: own } = getHeapStatistics()
    assert.equal(heapLimit([]), own)
    assert.equal(heapLimit(['--max-old-space-size=9000000']), own)
  })
})
