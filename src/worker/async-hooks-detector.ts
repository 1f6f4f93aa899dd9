import asyncHooks, { type AsyncHook, type HookCallbacks } from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'
import type { Pulse } from '../watchdog/pulse.ts'

/**
 * Counts the enabled hooks of `async_hooks.createHook` in this process. Under a live one a cut can abort the process ("async hook
 * stack has become corrupted"), so the watchdog must know of it beforehand. Hooks made before this runs are not seen, which is
 * why it runs before any other preload.
 */
export function detectAsyncHooks(pulse: Pulse): void {
  const create = asyncHooks.createHook
  asyncHooks.createHook = (callbacks: HookCallbacks): AsyncHook => {
    const hook = create(callbacks)
    const { enable, disable } = hook
    let enabled = false
    hook.enable = () => {
      if (!enabled) pulse.addAsyncHooks(1)
      enabled = true
      return enable.call(hook)
    }
    hook.disable = () => {
      if (enabled) pulse.addAsyncHooks(-1)
      enabled = false
      return disable.call(hook)
    }
    return hook
  }
  syncBuiltinESMExports()
}
