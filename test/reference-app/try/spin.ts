/** Blocks for `forMs` milliseconds, or forever: a loop with a wrong exit condition. */
export function spin(forMs: number = Number.POSITIVE_INFINITY): number {
  const end = performance.now() + forMs
  let turns = 0
  while (performance.now() < end) {
    turns += 1
  }
  return turns
}
