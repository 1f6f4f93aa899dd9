import { setTimeout as sleep } from 'node:timers/promises'

/** In milliseconds. Long, since the machine may be busy, and a successful wait ends early. */
export const WAIT_LIMIT = 60_000
const LOOK_EVERY = 20

/**
 * Waits until `look` returns something other than undefined or false, and returns it. While `look`
 * throws it is retried; its last error is the cause of the timeout error.
 *
 * @param what completes "waited 60000 ms for …"
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

/** Waits for a promise for at most `limit`. */
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
