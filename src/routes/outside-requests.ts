import { AsyncLocalStorage } from 'node:async_hooks'

/**
 * Calls `job` in the asynchronous context this file was loaded in. A module that a request has asked for serves all requests: what it begins while
 * it loads (timers, connections) must not belong to the one that came first, nor end with it.
 */
export const outsideRequests: <T>(job: () => T) => T = AsyncLocalStorage.snapshot() as <T>(job: () => T) => T
