import type { ChildProcess } from 'node:child_process'
import { basename } from 'node:path'
import { beginUnnamed, unansweredRequest } from './begin-unnamed.ts'
import { UnnamedWait } from './unnamed-waits.ts'
import { wrap } from './wrap-function.ts'

/** A child process runs. */
class ChildWait extends UnnamedWait {
  readonly #child: ChildProcess

  constructor(child: ChildProcess) {
    super()
    this.#child = child
  }

  get over(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  tell(): string {
    return `child process ${programOf(this.#child)} (pid ${this.#child.pid})`
  }
}

/** `spawn`, `exec`, `execFile` and `fork` all come down to one method. Detached children are meant to be left alone. */
export function hookChildProcesses(): void {
  const { ChildProcess } = process.getBuiltinModule('node:child_process')
  wrap(
    ChildProcess.prototype,
    'spawn',
    (base) =>
      function (this: unknown, ...args: unknown[]): unknown {
        const result = base.apply(this, args)
        const child = this as ChildProcess
        const scope = unansweredRequest()
        const detached = (args[0] as { detached?: unknown } | undefined)?.detached === true
        if (scope !== undefined && child.pid !== undefined && !detached) beginUnnamed(scope, new ChildWait(child))
        return result
      },
  )
}

/** The name of the program alone: arguments may be secrets. */
function programOf({ spawnfile, spawnargs }: ChildProcess): string {
  const [, option, command] = spawnargs
  const isShell = /(^|\/)(sh|bash|dash|zsh)$/.test(spawnfile) && option === '-c'
  const words = isShell && command !== undefined ? command.trim().split(/\s+/) : [spawnfile]
  // Variables that are set for the command may be secrets, too.
  return basename(words.find((word) => word !== 'exec' && !word.includes('=')) ?? spawnfile)
}
