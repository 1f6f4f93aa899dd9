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

test('reasons have a kind, a class and a code of their own, and only two of them are timeouts', () => {
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

test('the reason of another copy of the package is recognized', () => {
  const foreign = Object.assign(new Error('x'), { code: 'PUNCTUAL_WAIT_TIMEOUT' })
  assert.equal(isTimeout(foreign), true)
  assert.equal(isAbortReason(foreign), true)
})

test('AbortSignal.timeout is a timeout; other aborts and errors are not', async () => {
  const signal = AbortSignal.timeout(1)
  await new Promise((resolve) => {
    // The signal does not keep the process alive, so the test must.
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

test('the error of a timeout names the wait, the time and what limited it', () => {
  assert.equal(new WaitTimeoutError(EXPIRY).message, 'the wait "user" timed out after 5.0 s; its timeout is 5.0 s')
  assert.equal(
    new WaitTimeoutError({ ...EXPIRY, because: 'deadline', elapsed: ms(212) }).message,
    'the wait "user" timed out after 212 ms, at the deadline around it',
  )
  assert.equal(
    new WaitTimeoutError({ ...EXPIRY, because: 'deadline', timeout: ms(0), elapsed: ms(0), started: false }).message,
    'the wait "user" was not started: 0 ms was left until the deadline',
  )
})

test('a reason has no stack, and does not change the stacks of other errors', () => {
  const limit = Error.stackTraceLimit
  assert.equal(new ShedError().stack, 'ShedError: the server is overloaded')
  assert.equal(Error.stackTraceLimit, limit)
  assert.match(new Error('x').stack ?? '', /\n {4}at /)
})
