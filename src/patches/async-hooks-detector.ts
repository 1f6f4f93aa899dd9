/**
 * Patch of `async_hooks.createHook`.
 *
 * Why: interrupting JavaScript while an async hook is enabled can abort the process ("async hook
 * stack has become corrupted"), so the watchdog must know of it beforehand, and Node does not tell.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: src/patches/async-hooks-detector.test.ts
 */
import asyncHooks, { type AsyncHook, type HookCallbacks } from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'

/**
 * Reports every hook that is enabled (1) or disabled (-1) from now on. Hooks created before are not
 * seen, so this runs before any other preload.
 */
export function detectAsyncHooks(onChange: (by: 1 | -1) => void): void {
  const create = asyncHooks.createHook
  asyncHooks.createHook = (callbacks: HookCallbacks): AsyncHook => {
    const hook = create(callbacks)
    const { enable, disable } = hook
    let enabled = false
    hook.enable = () => {
      if (!enabled) onChange(1)
      enabled = true
      return enable.call(hook)
    }
    hook.disable = () => {
      if (enabled) onChange(-1)
      enabled = false
      return disable.call(hook)
    }
    return hook
  }
  syncBuiltinESMExports()
}
