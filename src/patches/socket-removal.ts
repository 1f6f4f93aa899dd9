/**
 * Patches of `unlink`, `unlinkSync`, `rm` and `rmSync` of `node:fs`, and of `unlink` and `rm` of
 * `node:fs/promises`, in workers whose app has a Unix socket.
 *
 * Why: apps remove the file of their socket before they listen, or when they exit. Other workers
 * listen on it, and their clients would get ENOENT until the arbiter has restored it.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: test/compatibility/habits/listening.test.ts
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { resolve } from 'node:path'
import { patchFunction } from './patch-function.ts'

const files = new Set<string>()

/** From now on the removal of this file by the app succeeds, but leaves it. */
export function keepSocketFile(path: string): void {
  if (path.startsWith('\0')) return
  const isFirst = files.size === 0
  files.add(resolve(path))
  if (!isFirst) return
  for (const name of ['unlinkSync', 'rmSync']) patchRemoval(fs, name, () => undefined)
  for (const name of ['unlink', 'rm']) {
    patchRemoval(fs.promises, name, () => Promise.resolve())
    patchRemoval(fs, name, (args) => {
      const callback = args.at(-1)
      if (typeof callback === 'function') process.nextTick(callback as () => void, null)
    })
  }
  syncBuiltinESMExports()
}

/** The file of this path is the app's again, which stops listening on it. */
export function releaseSocketFile(path: string): void {
  files.delete(resolve(path))
}

function patchRemoval(holder: object, name: string, succeed: (args: readonly unknown[]) => unknown): void {
  patchFunction(
    holder,
    name,
    (base) =>
      function (this: unknown, ...args: unknown[]): unknown {
        const [path] = args
        return typeof path === 'string' && files.has(resolve(path)) ? succeed(args) : base.apply(this, args)
      },
  )
}
