import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PunctualError } from '../errors/punctual-error.ts'
import {
  AbortedError,
  ClientDisconnectedError,
  DeadlineExceededError,
  isAbortReason,
  isTimeout,
  ShedError,
  ShutdownError,
  SupersededError,
  type WaitTimeout,
  WaitTimeoutError,
} from './abort-reason.ts'
import { ms } from './duration.ts'

const EXPIRY: WaitTimeout = { wait: 'user', timeout: ms(5_000), elapsed: ms(5_001), because: 'timeout', started: true }

const REASONS = [
  [new DeadlineExceededError(ms(30_000)), 'deadline-exceeded', 'DeadlineExceededError', true],
  [new WaitTimeoutError(EXPIRY), 'wait-timeout', 'WaitTimeoutError', true],
  [new ClientDisconnectedError(), 'client-disconnected', 'ClientDisconnectedError', false],
  [new ShutdownError(), 'shutdown', 'ShutdownError', false],
  [new ShedError(), 'shed', 'ShedError', false],
  [new SupersededError(), 'superseded', 'SupersededError', false],
] as const

test('reasons are told apart by kind, class and code, and only two of them are time-outs', () => {
  for (const [reason, kind, name, expiry] of REASONS) {
    assert.equal(reason.kind, kind)
    assert.equal(reason.name, name)
    assert.equal(isTimeout(reason), expiry, name)
    assert.equal(isAbortReason(reason), true)
    assert.ok(reason instanceof AbortedError && reason instanceof PunctualError)
    assert.ok(!(reason instanceof DOMException))
  }
  assert.equal(new Set(REASONS.map(([{ code }]) => code)).size, REASONS.length)
})

test('the reason of another copy of the package is recognised', () => {
  const foreign = Object.assign(new Error('x'), { code: 'PUNCTUAL_WAIT_TIMEOUT' })
  assert.equal(isTimeout(foreign), true)
  assert.equal(isAbortReason(foreign), true)
})

test('the platform’s own time-out is an expiry, its other aborts and errors are none', async () => {
  const signal = AbortSignal.timeout(1)
  await new Promise((resolve) => {
    // Such a signal does not keep the process alive; the listener's caller must.
    const hold = setInterval(() => {}, 1_000)
    signal.addEventListener('abort', () => {
      clearInterval(hold)
      resolve(undefined)
    })
  })
  assert.equal(isTimeout(signal.reason), true)
  for (const other of [
    AbortSignal.abort().reason,
    new Error('x'),
    'timeout',
    undefined,
    null,
    { code: 'PUNCTUAL_WAIT_TIMEOUT' },
  ]) {
    assert.equal(isTimeout(other), false)
    assert.equal(isAbortReason(other), false)
  }
})

test('an expired wait says which, how long, and what bounded it', () => {
  assert.equal(new WaitTimeoutError(EXPIRY).message, 'the wait "user" took 5.0 s; its limit is 5.0 s')
  assert.equal(
    new WaitTimeoutError({ ...EXPIRY, because: 'deadline', elapsed: ms(212) }).message,
    'the wait "user" took 212 ms, which is all that was left of the deadline',
  )
  assert.equal(
    new WaitTimeoutError({ ...EXPIRY, because: 'deadline', timeout: ms(0), elapsed: ms(0), started: false }).message,
    'the wait "user" was not begun: 0 ms was left of the deadline',
  )
})

test('a reason takes no stack, and leaves the stacks of other errors as they were', () => {
  const limit = Error.stackTraceLimit
  assert.equal(new ShedError().stack, 'ShedError: there is more to do than can be done in time')
  assert.equal(Error.stackTraceLimit, limit)
  assert.match(new Error('x').stack ?? '', /\n {4}at /)
})
