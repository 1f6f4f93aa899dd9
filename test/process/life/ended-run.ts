import assert from 'node:assert/strict'
import { type ServerOptions, startServer, type TestServer } from '../support/server.ts'
import { WAIT_LIMIT, within } from '../support/until.ts'

/** What came of a `punctual run` that ends by itself. */
export interface EndedRun {
  readonly code: number | null
  /** What is not a line of the arbiter's log: its last message, and what the app printed. */
  readonly message: string
  readonly server: TestServer
}

/** Runs `punctual run` to its own end, and fails if a process of it is left. */
export async function runToEnd(options: ServerOptions, limit: number = WAIT_LIMIT): Promise<EndedRun> {
  await using server = await startServer({ ...options, ready: false })
  const { code } = await within('punctual run to end by itself', server.exit, limit)
  const message = server.lines
    .filter(({ level }) => level === '')
    .map(({ msg }) => msg)
    .join('\n')
  return { code, message, server }
}

/** One message: it begins with our name, is said once, and shows nothing of our inside. */
export function assertOneMessage(message: string): void {
  assert.equal(message.match(/^punctual: /gm)?.length, 1, message)
  assert.match(message, /^punctual: /)
  assert.doesNotMatch(message, /(?:src|dist)\/(?:worker|arbiter|cli|watchdog|request|settings)\//, message)
}
