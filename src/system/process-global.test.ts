import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runInThisContext } from 'node:vm'
import { ProcessGlobal } from './process-global.ts'

test('a value is shared by its name, and can be replaced and removed', () => {
  const one = new ProcessGlobal<number[]>('deferred')
  const other = new ProcessGlobal<number[]>('deferred')
  const different = new ProcessGlobal<number[]>('channel')
  assert.equal(one.get(), undefined)
  const made = one.getOrCreate(() => [1])
  assert.equal(
    other.getOrCreate(() => assert.fail('made twice')),
    made,
  )
  assert.equal(runInThisContext(one.expression), made)
  assert.equal(different.get(), undefined)
  assert.deepEqual(
    Object.getOwnPropertySymbols({ ...globalThis }).filter((key) => key.description?.startsWith('punctual')),
    [],
  )
  other.set([2])
  assert.deepEqual(one.get(), [2])
  one.delete()
  assert.equal(other.get(), undefined)
  assert.equal(runInThisContext(one.expression), undefined)
})
