const LOOK_EVERY = 50
/** A turn that is longer is a stall. */
const STALL = 700
/** How long a slow request takes after the stall. */
const AFTER = 300

/**
 * The work of a request that is in flight while another stalls the loop: it is done a little after
 * the loop turns again, however late that is.
 */
export function slow(): Promise<string> {
  return new Promise((resolve) => {
    let last = performance.now()
    const looking = setInterval(() => {
      const now = performance.now()
      if (now - last > STALL) {
        clearInterval(looking)
        setTimeout(() => resolve('slow'), AFTER)
      }
      last = now
    }, LOOK_EVERY)
  })
}
