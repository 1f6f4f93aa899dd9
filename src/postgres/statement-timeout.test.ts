import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ms, UNBOUNDED } from '../resilience/duration.ts'
import { StatementTimeout } from './statement-timeout.ts'

const set = (milliseconds: number, local: boolean): string =>
  `select set_config('statement_timeout', '${milliseconds}', ${local})`

test('a direct connection sets it in the session, raises it for a longer query, and restores it', () => {
  const timeout = new StatementTimeout('auto', ms(30_000))
  assert.match(timeout.opening(77) ?? '', /pid = 77/)
  assert.equal(timeout.opened({ direct: true, limit: '31s' }), true)
  assert.equal(timeout.before(ms(5_000), 'I'), undefined)
  assert.equal(timeout.before(ms(120_000), 'I'), set(121_000, false))
  assert.equal(timeout.before(ms(110_000), 'I'), undefined, 'a shorter timeout needs no statement')
  assert.equal(timeout.restore(), set(31_000, false))
  assert.equal(timeout.restore(), undefined)
  assert.equal(timeout.before(UNBOUNDED, 'I'), set(0, false))
  assert.equal(timeout.before(UNBOUNDED, 'I'), undefined)
})

test('a transaction raises it for itself only', () => {
  const timeout = new StatementTimeout('auto', ms(30_000))
  timeout.opened({ direct: true, limit: '31s' })
  assert.equal(timeout.before(ms(120_000), 'T'), set(121_000, true))
  assert.equal(timeout.before(ms(120_000), 'T'), undefined)
  timeout.noteStatus('I')
  assert.equal(timeout.restore(), undefined)
  assert.equal(timeout.before(ms(120_000), 'T'), set(121_000, true))
  assert.equal(timeout.before(UNBOUNDED, 'E'), undefined, 'a failed transaction accepts no statement')
})

test('behind a connection pooler each transaction sets it, unless the server has a timeout of its own', () => {
  const timeout = new StatementTimeout('auto', ms(30_000))
  assert.equal(timeout.opened({ direct: false, limit: '0' }), false)
  assert.equal(timeout.before(ms(30_000), 'I'), undefined)
  assert.equal(timeout.before(ms(30_000), 'T'), set(31_000, true))
  assert.equal(timeout.before(ms(30_000), 'T'), undefined)
  timeout.noteStatus('I')
  assert.equal(timeout.before(ms(30_000), 'T'), set(31_000, true))

  const served = new StatementTimeout('auto', ms(30_000))
  assert.equal(served.opened({ direct: false, limit: '25s' }), true)
  assert.equal(served.before(ms(30_000), 'T'), undefined)
})

test('nothing is set for `none`, or without a process id', () => {
  assert.equal(new StatementTimeout('none', ms(30_000)).opening(77), undefined)
  assert.equal(new StatementTimeout('auto', ms(30_000)).opening(null), undefined)
})
