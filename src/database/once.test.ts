import assert from 'node:assert/strict'
import { test } from 'node:test'
import { once } from './once.ts'

test('an instance is made once, whoever asks', () => {
  let made = 0
  const make = (): object => ({ number: ++made })
  assert.equal(once('once.test: plain', make), once('once.test: plain', make))
  assert.equal(made, 1)
  assert.notEqual(once('once.test: another', make), once('once.test: plain', make))
})

test('a second copy of the module finds the instance of the first', async () => {
  const copy: typeof import('./once.ts') = await import(`./once.ts?${'copy'}`)
  assert.notEqual(copy.once, once)
  assert.equal(
    copy.once('once.test: copies', () => ({ of: 'the copy' })),
    once('once.test: copies', () => ({ of: 'this one' })),
  )
})

test('who asks while it is being made shares the making', async () => {
  let made = 0
  const make = async (): Promise<object> => ({ number: ++made })
  const [one, other] = await Promise.all([once('once.test: shared', make), once('once.test: shared', make)])
  assert.equal(one, other)
  assert.equal(made, 1)
})

test('a creation that failed is tried again', async () => {
  const notYet = new Error('not yet')
  let tries = 0
  const make = async (): Promise<string> => {
    if (++tries < 2) throw notYet
    return 'made'
  }
  await assert.rejects(once('once.test: late', make), notYet)
  assert.equal(await once('once.test: late', make), 'made')
  let thrown = 0
  const throwing = (): string => {
    if (++thrown < 2) throw notYet
    return 'made'
  }
  assert.throws(() => once('once.test: thrown', throwing), notYet)
  assert.equal(once('once.test: thrown', throwing), 'made')
})

test('an instance that needs itself is refused with its name', () => {
  const make = (): unknown => once('once.test: itself', make)
  assert.throws(() => once('once.test: itself', make), {
    code: 'PUNCTUAL_USAGE',
    details: { name: 'once.test: itself' },
  })
})
