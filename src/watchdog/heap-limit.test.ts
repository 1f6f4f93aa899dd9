import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { getHeapStatistics } from 'node:v8'
import { heapLimit } from './heap-limit.ts'

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
