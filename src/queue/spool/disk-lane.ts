import { SerialQueue } from '../../resilience/serial-queue.ts'

const files = new SerialQueue()
const syncs = new SerialQueue()

/**
 * Runs what the spools of this process do to their files in the background one after the other: a disk that hangs would otherwise take one thread after the
 * other from libuv's pool, and with them look-ups of names and everything else that needs it. What runs in the lane must not wait for the lane.
 */
export function inDiskLane<Result>(run: () => Promise<Result>): Promise<Result> {
  return files.run(run)
}

/** The same for syncs, in a lane of their own: a sync takes as long as the disk, and the next segment must not wait for it. */
export function inSyncLane<Result>(run: () => Promise<Result>): Promise<Result> {
  return syncs.run(run)
}
