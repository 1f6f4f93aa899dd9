import type { ChildProcess } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { pause } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { descendants, killAll } from '../system/process-tree.ts'

/**
 * The environment variable that marks every process that a step started, even in another session.
 */
export const TREE_VARIABLE = 'PUNCTUAL__RELEASE_STEP'

/** From SIGTERM to SIGKILL: time for a database client to cancel its query. */
const GRACE = ms(2_000)
const POLL_INTERVAL = ms(50)
/** A process can start another one while they are being killed. */
const MAX_ROUNDS = 10

/**
 * Kills a child process with every process it started: its process group, its descendants, and
 * processes in other sessions that carry its mark. Resolves when none of them remain visible.
 * Once the child is reaped its pid may be reused: from then on only the mark counts, if there is a
 * `/proc` to read it from.
 *
 * @param mark the value of `PUNCTUAL__RELEASE_STEP` in its environment
 * @param gracefully send SIGTERM first
 */
export async function killTree(child: ChildProcess, mark: string, gracefully: boolean): Promise<void> {
  if (gracefully) {
    for (const one of treeOf(child, mark)) signalTo(one, 'SIGTERM')
    for (let waited = 0; waited < GRACE && treeOf(child, mark).length > 0; waited += POLL_INTERVAL) {
      await pause(POLL_INTERVAL)
    }
  }
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const left = treeOf(child, mark)
    const { pid } = child
    if (pid !== undefined && (isOurs(child) || !HAS_PROC)) signalTo(-pid, 'SIGKILL')
    if (left.length === 0) return
    killAll(left)
    await pause(POLL_INTERVAL)
  }
}

/** `node --permission` throws instead of returning false. */
function hasProc(): boolean {
  try {
    return existsSync('/proc/self/environ')
  } catch {
    return false
  }
}

const HAS_PROC = hasProc()

/** Returns whether the pid still belongs to the child. */
function isOurs({ pid, exitCode, signalCode }: ChildProcess): boolean {
  return pid !== undefined && exitCode === null && signalCode === null
}

function treeOf(child: ChildProcess, mark: string): number[] {
  const own = child.pid !== undefined && isOurs(child) ? [child.pid, ...descendants(child.pid)] : []
  return [...new Set([...own, ...marked(mark)])].filter((one) => one !== process.pid)
}

function marked(mark: string): number[] {
  const wanted = `${TREE_VARIABLE}=${mark}`
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((name) => {
        try {
          return readFileSync(`/proc/${name}/environ`, 'latin1').split('\0').includes(wanted)
        } catch {
          // It exited, or belongs to another user.
          return false
        }
      })
      .map(Number)
  } catch {
    return []
  }
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // ESRCH: it has exited.
  }
}
