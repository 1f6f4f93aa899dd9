import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ms, UNBOUNDED } from '../resilience/duration.ts'
import { SessionLimit } from './server-limit.ts'

const set = (milliseconds: number, local: boolean): string =>
  `select set_config('statement_timeout', '${milliseconds}', ${local})`

test('on a direct connection the session has the limit, a longer query raises it, and it is restored', () => {
  const limit = new SessionLimit('auto', ms(30_000))
  assert.match(limit.opening(77) ?? '', /pid = 77/)
  assert.equal(limit.opened({ direct: true, limit: '31s' }), true)
  assert.equal(limit.before(ms(5_000), 'I'), undefined)
  assert.equal(limit.before(ms(120_000), 'I'), set(121_000, false))
  assert.equal(limit.before(ms(110_000), 'I'), undefined, 'an operation that has less left needs nothing')
  assert.equal(limit.restore(), set(31_000, false))
  assert.equal(limit.restore(), undefined)
  assert.equal(limit.before(UNBOUNDED, 'I'), set(0, false))
  assert.equal(limit.before(UNBOUNDED, 'I'), undefined)
})

test('inside a transaction it is raised for the transaction alone', () => {
  const limit = new SessionLimit('auto', ms(30_000))
  limit.opened({ direct: true, limit: '31s' })
  assert.equal(limit.before(ms(120_000), 'T'), set(121_000, true))
  assert.equal(limit.before(ms(120_000), 'T'), undefined)
  limit.noteStatus('I')
  assert.equal(limit.restore(), undefined)
  assert.equal(limit.before(ms(120_000), 'T'), set(121_000, true))
  assert.equal(limit.before(UNBOUNDED, 'E'), undefined, 'a failed transaction takes no statement')
})

test('behind a bouncer it is set in each transaction, unless the server has a limit of its own', () => {
  const limit = new SessionLimit('auto', ms(30_000))
  assert.equal(limit.opened({ direct: false, limit: '0' }), false)
  assert.equal(limit.before(ms(30_000), 'I'), undefined)
  assert.equal(limit.before(ms(30_000), 'T'), set(31_000, true))
  assert.equal(limit.before(ms(30_000), 'T'), undefined)
  limit.noteStatus('I')
  assert.equal(limit.before(ms(30_000), 'T'), set(31_000, true))

  const served = new SessionLimit('auto', ms(30_000))
  assert.equal(served.opened({ direct: false, limit: '25s' }), true)
  assert.equal(served.before(ms(30_000), 'T'), undefined)
})

test('who wants none, or a driver that tells no process id, is left alone', () => {
  assert.equal(new SessionLimit('none', ms(30_000)).opening(77), undefined)
  assert.equal(new SessionLimit('auto', ms(30_000)).opening(null), undefined)
})
