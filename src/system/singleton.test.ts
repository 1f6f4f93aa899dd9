import assert from 'node:assert/strict'
import { test } from 'node:test'
import { singleton } from './singleton.ts'

test('an instance is created once', () => {
  let made = 0
  const make = (): object => ({ number: ++made })
  assert.equal(singleton('once.test: plain', make), singleton('once.test: plain', make))
  assert.equal(made, 1)
  assert.notEqual(singleton('once.test: another', make), singleton('once.test: plain', make))
})

test('a second copy of the module finds the instance of the first', async () => {
  const copy: typeof import('./singleton.ts') = await import(`./singleton.ts?${'copy'}`)
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
