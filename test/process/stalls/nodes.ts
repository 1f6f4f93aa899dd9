import { after, describe } from 'node:test'
import { type NodeMajor, nodeBinary } from '../../../scripts/nodes.ts'

const MAJORS: readonly NodeMajor[] = [22, 24, 26]

/** One Node on which a file's cases run. */
export interface NodeUnderTest {
  readonly major: NodeMajor
  readonly binary: string
  /** Notes how a case ended; the file prints all of them as a table in the end. */
  note(what: string, outcome: string): void
}

/**
 * Runs a file's cases on every Node that is supported: the arbiter, and with it the workers, run on that Node; the clients run in this
 * process. The Nodes go side by side, because most of a case is waiting.
 *
 * @param atOnce how many cases of one Node may run side by side, each with a server of its own
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
