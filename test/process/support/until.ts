import { setTimeout as sleep } from 'node:timers/promises'

/** Milliseconds. Generous: the machine is shared, and a wait that succeeds costs nothing of it. */
export const WAIT_LIMIT = 30_000
const LOOK_EVERY = 20

/**
 * Waits until `look` gives something other than undefined or false, and returns it. A `look` that throws has not succeeded yet; its last error is
 * told when the limit has passed.
 *
 * @param what is waited for, as the end of the sentence "waited 30000 ms for …"
 * @param limit in milliseconds
 */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  limit: number = WAIT_LIMIT,
): Promise<Exclude<Awaited<T>, undefined | false>> {
  const end = performance.now() + limit
  let fault: unknown
  for (;;) {
    try {
      const found = await look()
      if (found !== undefined && found !== false) return found as Exclude<Awaited<T>, undefined | false>
      fault = undefined
    } catch (error) {
      fault = error
    }
    if (performance.now() > end) {
      throw new Error(`waited ${limit} ms for ${what}`, fault === undefined ? {} : { cause: fault })
    }
    await sleep(LOOK_EVERY)
  }
}

/** The same for something that arrives by itself: gives up on the promise after `limit`. */
export async function within<T>(what: string, promise: Promise<T>, limit: number = WAIT_LIMIT): Promise<T> {
  const giveUp = new AbortController()
  try {
    return await Promise.race([
      promise,
      sleep(limit, undefined, { signal: giveUp.signal }).then(() => {
        throw new Error(`waited ${limit} ms for ${what}`)
      }),
    ])
  } finally {
    giveUp.abort()
  }
}
