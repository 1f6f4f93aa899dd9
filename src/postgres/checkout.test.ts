import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appFrame, Checkout, capturePlace } from './checkout.ts'

test('the place is the first frame of the app, after those of Node.js and packages', () => {
  const stack = [
    'Error',
    '    at Pool.connect (/srv/app/node_modules/pg-pool/index.js:10:5)',
    '    at process.processTicksAndRejections (node:internal/process/task_queues:104:5)',
    '    at async listUsers (file:///srv/app/users.ts:42:7)',
    '    at async main (file:///srv/app/main.ts:1:1)',
  ].join('\n')
  assert.equal(appFrame(stack), 'listUsers (/srv/app/users.ts:42)')
  assert.equal(appFrame('Error'), 'an unknown place')
  assert.equal(appFrame(`Error\n    at ${process.cwd()}/users.ts:42:7`), 'users.ts:42')
})

test('a checkout is named by its operation and place, and does not change Error.stackTraceLimit', () => {
  const before = Error.stackTraceLimit
  const checkout = new Checkout('auth', capturePlace(capturePlace))
  assert.equal(Error.stackTraceLimit, before)
  assert.match(checkout.by, /^auth \(.+\)$/)
  assert.equal(new Checkout(null, () => 'select ?').by, 'select ?')
})
