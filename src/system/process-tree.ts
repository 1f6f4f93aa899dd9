import { readdirSync, readFileSync } from 'node:fs'

/**
 * Every process below `pid`, children before grandchildren. A worker that is killed while it waits in `execSync` would leave its child behind,
 * so whoever kills a worker ends these too. Empty where there is no /proc, or nothing below.
 */
export function descendants(pid: number): number[] {
  const found: number[] = []
  const queue = [pid]
  for (let parent = queue.shift(); parent !== undefined && found.length < 1_000; parent = queue.shift()) {
    for (const child of children(parent)) {
      found.push(child)
      queue.push(child)
    }
  }
  return found
}

function children(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1').split(' ').filter(Boolean).map(Number),
    )
  } catch {
    return []
  }
}

/** SIGKILL to each; one that has gone meanwhile is no matter. */
export function killAll(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // ESRCH: it has left by itself.
    }
  }
}
