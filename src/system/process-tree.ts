import { readdirSync, readFileSync } from 'node:fs'

/**
 * Lists the processes below `pid`, children before grandchildren; empty without `/proc`. A worker
 * that is killed during `execSync` would leave its child running, so these are killed, too.
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

/** Sends SIGKILL to each; a process that has exited is ignored. */
export function killAll(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // ESRCH: it has exited by itself.
    }
  }
}
