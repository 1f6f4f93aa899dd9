import { after, describe } from 'node:test'
import { type NodeMajor, nodeBinary } from '../../../scripts/nodes.ts'

const MAJORS: readonly NodeMajor[] = [22, 24, 26]

/** One version of Node on which the cases of a file run. */
export interface NodeUnderTest {
  readonly major: NodeMajor
  readonly binary: string
  /** Records how a case ended; the file prints a table of all cases at the end. */
  note(what: string, outcome: string): void
}

/**
 * Runs the cases of a file on every supported version of Node: the arbiter and the workers run on
 * that version, the clients in this process. The versions run concurrently, because a case mostly
 * waits.
 *
 * @param atOnce how many cases of one version run concurrently, each with its own server
 */
export function onEveryNode(what: string, cases: (node: NodeUnderTest) => void, atOnce = 1): void {
  const rows = new Map<string, Map<NodeMajor, string>>()
  describe(what, { concurrency: MAJORS.length }, () => {
    for (const major of MAJORS) {
      const note = (row: string, outcome: string): void => {
        const cells = rows.get(row) ?? new Map<NodeMajor, string>()
        rows.set(row, cells.set(major, outcome))
      }
      describe(`on Node ${major}`, { concurrency: atOnce }, () => cases({ major, binary: nodeBinary(major), note }))
    }
    after(() => {
      console.log(matrix(what, rows))
    })
  })
}

function matrix(what: string, rows: ReadonlyMap<string, ReadonlyMap<NodeMajor, string>>): string {
  const lines = [...rows].map(([row, cells]) => [row, ...MAJORS.map((major) => cells.get(major) ?? '-')].join(' | '))
  return [`| ${what} | ${MAJORS.join(' | ')} |`, ...lines.map((line) => `| ${line} |`)].join('\n')
}
