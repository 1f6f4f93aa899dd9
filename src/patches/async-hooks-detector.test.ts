import assert from 'node:assert/strict'
import asyncHooks, { createHook } from 'node:async_hooks'
import { test } from 'node:test'
import { detectAsyncHooks } from './async-hooks-detector.ts'

test('async hooks are reported once when they are enabled, and once when they are disabled', () => {
  const changes: number[] = []
  detectAsyncHooks((by) => changes.push(by))
  const hooks = [asyncHooks.createHook({ init() {} }), createHook({ init() {} })]
  assert.deepEqual(changes, [])
  for (const hook of hooks) {
    assert.equal(hook.enable(), hook)
    hook.enable()
  }
  assert.deepEqual(changes, [1, 1])
  for (const hook of hooks) {
    hook.disable()
    hook.disable()
  }
  assert.deepEqual(changes, [1, 1, -1, -1])
})
