import assert from 'node:assert/strict'
import type { Incident } from '../../../src/diagnostics/incident.ts'
import { printedCode } from '../support/printed-error.ts'
import { type ServerOptions, startServer, type TestServer } from '../support/server.ts'
import { WAIT_LIMIT, within } from '../support/until.ts'

/** The result of a `punctual run` that exits by itself. */
export interface EndedRun {
  readonly code: number | null
  /** Its output without log lines: the last message, and what the app printed. */
  readonly message: string
  /** The code that the message ends with. */
  readonly errorCode: string | undefined
  /** The recorded incidents, oldest first. */
  readonly incidents: readonly Incident[]
  readonly server: TestServer
}

/** Runs `punctual run` until it exits, and fails if it leaves a process behind. */
export async function runToEnd(options: ServerOptions, limit: number = WAIT_LIMIT): Promise<EndedRun> {
  await using server = await startServer({ ...options, ready: false })
  const { code } = await within('punctual run to end by itself', server.exit, limit)
  const message = server.lines
    .filter(({ level }) => level === '')
    .map(({ msg }) => msg)
    .join('\n')
  return { code, message, errorCode: printedCode(message), incidents: await server.incidents(), server }
}

/** Asserts that there is one message, which begins with `punctual: ` and shows no internals. */
export function assertOneMessage(message: string): void {
  assert.equal(message.match(/^punctual: /gm)?.length, 1, message)
  assert.match(message, /^punctual: /)
  assert.doesNotMatch(message, /(?:src|dist)\/(?:worker|arbiter|cli|watchdog|request|settings)\//, message)
}

/** Asserts that the message has the names, values and places that the operator needs. */
export function assertShows(message: string, names: readonly string[]): void {
  for (const name of names) assert.ok(message.includes(name), `${name} in: ${message}`)
}
