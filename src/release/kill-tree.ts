import type { ChildProcess } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { pause } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { descendants, killAll } from '../system/process-tree.ts'

/** The variable by which whatever a step has started is known, however far it has run from its parent. */
export const TREE_VARIABLE = 'PUNCTUAL__RELEASE_STEP'

/** From SIGTERM to SIGKILL: a client of a database can still cancel what it has asked for. */
const GRACE = ms(2_000)
const BETWEEN_LOOKS = ms(50)
/** A process can start another while it is looked for. */
const ROUNDS = 10

/**
 * Ends a process that we have started with everything it has started: its process group, its descendants, and those that have made themselves a
 * session of their own but still carry its mark. Resolves when none is left that can be seen.
 *
 * Once the process itself has been reaped its pid may be anybody's: from then on only the mark counts, where there is a /proc to read it from.
 *
 * @param child leader of its group, if it has one of its own
 * @param mark the value of `PUNCTUAL__RELEASE_STEP` in its environment
 * @param gently with a SIGTERM first
 */
export async function killTree(child: ChildProcess, mark: string, gently: boolean): Promise<void> {
  if (gently) {
    for (const one of treeOf(child, mark)) signalTo(one, 'SIGTERM')
    for (let waited = 0; waited < GRACE && treeOf(child, mark).length > 0; waited += BETWEEN_LOOKS) {
      await pause(BETWEEN_LOOKS)
    }
  }
  for (let round = 0; round < ROUNDS; round++) {
    const left = treeOf(child, mark)
    const { pid } = child
    if (pid !== undefined && (isOurs(child) || !HAS_PROC)) signalTo(-pid, 'SIGKILL')
    if (left.length === 0) return
    killAll(left)
    await pause(BETWEEN_LOOKS)
  }
}

const HAS_PROC = existsSync('/proc/self/environ')

/** Whether its pid is still its own. */
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
          // It has gone, or is another user's.
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
    // ESRCH: it has left by itself.
  }
}
