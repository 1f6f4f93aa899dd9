import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runInThisContext } from 'node:vm'
import { ProcessGlobal, singleton } from './process-global.ts'

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

test('an instance is created once', () => {
  let made = 0
  const make = (): object => ({ number: ++made })
  assert.equal(singleton('once.test: plain', make), singleton('once.test: plain', make))
  assert.equal(made, 1)
  assert.notEqual(singleton('once.test: another', make), singleton('once.test: plain', make))
})

test('a second copy of the module finds the instance of the first', async () => {
  const copy: typeof import('./process-global.ts') = await import(`./process-global.ts?${'copy'}`)
  assert.notEqual(copy.singleton, singleton)
  assert.equal(
    copy.singleton('once.test: copies', () => ({ of: 'the copy' })),
    singleton('once.test: copies', () => ({ of: 'this one' })),
  )
})

test('callers share an instance that is being created', async () => {
  let made = 0
  const make = async (): Promise<object> => ({ number: ++made })
  const [one, other] = await Promise.all([singleton('once.test: shared', make), singleton('once.test: shared', make)])
  assert.equal(one, other)
  assert.equal(made, 1)
})

test('a failed creation is repeated', async () => {
  const notYet = new Error('not yet')
  let tries = 0
  const make = async (): Promise<string> => {
    if (++tries < 2) throw notYet
    return 'made'
  }
  await assert.rejects(singleton('once.test: late', make), notYet)
  assert.equal(await singleton('once.test: late', make), 'made')
  let thrown = 0
  const throwing = (): string => {
    if (++thrown < 2) throw notYet
    return 'made'
  }
  assert.throws(() => singleton('once.test: thrown', throwing), notYet)
  assert.equal(singleton('once.test: thrown', throwing), 'made')
})

test('an instance that needs itself is rejected with its name', () => {
  const make = (): unknown => singleton('once.test: itself', make)
  assert.throws(() => singleton('once.test: itself', make), {
    code: 'PUNCTUAL_USAGE',
    details: { name: 'once.test: itself' },
  })
})
