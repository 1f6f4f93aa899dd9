import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { getHeapStatistics } from 'node:v8'
import { HeapEstimate, heapLimit } from './heap-estimate.ts'
import { Pulse } from './pulse.ts'

const MIB = 1024 * 1024

/** A main thread that beats, and a process of which the size is known. */
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

describe('how full a heap is', () => {
  it('is what the main thread says while it turns, however large the process', () => {
    const one = new Process()
    assert.equal(one.beats(10).heap.look(), 10 * MIB)
    one.rss = 900 * MIB
    assert.equal(one.heap.look(), 100 * MIB)
    assert.equal(one.beats(12).heap.look(), 12 * MIB)
  })

  it('grows with the process while the main thread stands still, and not beyond its limit', () => {
    const one = new Process()
    one.beats(10).heap.look()
    one.rss += 30 * MIB
    assert.equal(one.heap.look(), 40 * MIB)
    one.rss -= 80 * MIB
    assert.equal(one.heap.look(), 10 * MIB)
    one.rss += 700 * MIB
    assert.equal(one.heap.look(), 100 * MIB)
  })

  it('is told once when it becomes full, and again after it was not', () => {
    const one = new Process()
    const told = [70, 90, 95, 50, 90].map((used) => one.beats(used).heap.becameFull())
    assert.deepEqual(told, [false, true, false, false, true])
  })

  it('is not told while the app boots, nor before its limit is known', () => {
    const one = new Process()
    assert.equal(one.heap.becameFull(), false)
    one.pulse.booting = true
    assert.equal(one.beats(90).heap.becameFull(), false)
  })
})

describe('the limit of the heap', () => {
  it('is what the last flag says, however it is written', () => {
    const size = 48 * 1024 * 1024
    assert.equal(heapLimit(['--max-old-space-size=48']), size)
    assert.equal(heapLimit(['--no-warnings --max_old_space_size 48', '--expose-gc']), size)
    assert.equal(heapLimit(['--max-old-space-size=99', '--max-old-space-size=48']), size)
  })

  it('is what V8 says where no flag does, and never more', () => {
    const { heap_size_limit: own } = getHeapStatistics()
    assert.equal(heapLimit([]), own)
    assert.equal(heapLimit(['--max-old-space-size=9000000']), own)
  })
})
