/**
 * Patch of `worker_threads.Worker`.
 *
 * Why: a thread inherits the flags of its process, and with them those that Punctual adds to a
 * worker: it would load Punctual's preload, and the app would see them in `process.execArgv`. With
 * the patch a thread has the flags that it would have under `node`. Flags that threads do not
 * accept (of V8, and of the whole process) have their effect anyway and are left out.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: src/patches/worker-threads.test.ts
 */
import { syncBuiltinESMExports } from 'node:module'
import threads, { type WorkerOptions } from 'node:worker_threads'

/** @param flags that threads of the app inherit, unless it gives its own `execArgv` */
export function patchWorkerThreads(flags: readonly string[]): void {
  let inherited = [...flags]
  threads.Worker = new Proxy(threads.Worker, {
    construct(target, [file, options, ...rest]: [unknown, WorkerOptions | undefined, ...unknown[]], newTarget) {
      const create = (given: unknown): object => Reflect.construct(target, [file, given, ...rest], newTarget)
      if (options?.execArgv !== undefined) return create(options)
      try {
        return create({ ...options, execArgv: inherited })
      } catch (error) {
        const accepted = withoutRefused(inherited, error)
        if (accepted.length === inherited.length) throw error
        inherited = accepted
        return create({ ...options, execArgv: inherited })
      }
    },
  })
  syncBuiltinESMExports()
}

/** Node names the flags that it refuses: `…invalid execArgv flags: --a=1, --b`. */
function withoutRefused(flags: readonly string[], error: unknown): string[] {
  const { code, message } = error as NodeJS.ErrnoException
  if (code !== 'ERR_WORKER_INVALID_EXEC_ARGV') return [...flags]
  const refused = message.slice(message.lastIndexOf(': ') + 2).split(', ')
  return flags.filter((flag) => !refused.includes(flag))
}
