let last: Promise<unknown> = Promise.resolve()

/**
 * Runs what the spools of this process do to their files in the background one after the other: a disk that hangs would otherwise take one thread after the
 * other from libuv's pool, and with them look-ups of names and everything else that needs it.
 */
export function inDiskLane<Result>(run: () => Promise<Result>): Promise<Result> {
  const result = last.then(run)
  last = result.catch(() => {})
  return result
}
