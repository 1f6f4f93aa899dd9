/** A heap this full, as a share of its limit, says why a process aborted. */
export const FULL_HEAP = 0.75
