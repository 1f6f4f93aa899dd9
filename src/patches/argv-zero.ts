/**
 * Patch of `ChildProcess.prototype.spawn`, for one call of `cluster.fork` at a time.
 *
 * Why: cluster starts workers by the absolute path of Node, which the app would see as
 * `process.title` and `process.argv0` instead of `node`, and has no option for `argv[0]`. If Node
 * passes the arguments in another way, workers have the path as before.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: test/compatibility/habits/visible-to-the-app.test.ts
 */
import { ChildProcess } from 'node:child_process'

interface Spawnable {
  spawn(options: { args?: unknown[] }): unknown
}

/** Calls `start`; the process that it starts has `argv0` as its `argv[0]`. */
export function withArgv0<Result>(argv0: string, start: () => Result): Result {
  const prototype = ChildProcess.prototype as unknown as Spawnable
  const { spawn } = prototype
  prototype.spawn = function (options) {
    if (Array.isArray(options.args)) options.args[0] = argv0
    return spawn.call(this, options)
  }
  try {
    return start()
  } finally {
    prototype.spawn = spawn
  }
}
