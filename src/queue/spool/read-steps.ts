import { readSync } from 'node:fs'
import { readLater } from './background-files.ts'
import { inDiskLane } from './disk-lane.ts'
import type { Read, ReadSteps } from './segment-scan.ts'

/** Carries out the steps of a reader at once. What cannot be read counts as the end of the file. */
export function runSteps<Result>(steps: ReadSteps<Result>): Result {
  let step = steps.next()
  while (step.done !== true) step = steps.next(readNow(step.value))
  return step.value
}

/** The same in the background. */
export async function runStepsLater<Result>(steps: ReadSteps<Result>): Promise<Result> {
  let step = steps.next()
  while (step.done !== true) {
    const { fd, length, position } = step.value
    step = steps.next(await inDiskLane(() => readLater(fd, length, position)).catch(() => Buffer.alloc(0)))
  }
  return step.value
}

function readNow({ fd, length, position }: Read): Buffer {
  const buffer = Buffer.allocUnsafe(length)
  let filled = 0
  try {
    while (filled < length) {
      const read = readSync(fd, buffer, filled, length - filled, position + filled)
      if (read === 0) break
      filled += read
    }
  } catch {
    // The reader sees that something is missing.
  }
  return buffer.subarray(0, filled)
}
