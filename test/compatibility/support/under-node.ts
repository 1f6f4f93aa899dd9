import { type ChildProcess, spawn } from 'node:child_process'
import { type LogLine, LogLines } from '../../process/support/log-lines.ts'
import { environment, type ServerExit } from '../../process/support/server.ts'
import { within } from '../../process/support/until.ts'

/** An app under plain `node`, the reference. */
export class UnderNode implements AsyncDisposable {
  readonly exit: Promise<ServerExit>
  readonly #child: ChildProcess
  readonly #log = new LogLines()

  constructor(directory: string, args: readonly string[], env: Readonly<Record<string, string>>) {
    this.#child = spawn(process.execPath, args, {
      cwd: directory,
      env: { ...environment(), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.#child.stdout, this.#child.stderr]) if (stream !== null) this.#log.collect(stream)
    this.exit = new Promise((resolve) => {
      this.#child.on('close', (code, signal) => resolve({ code, signal }))
    })
  }

  get lines(): readonly LogLine[] {
    return this.#log.lines
  }

  get output(): string {
    return this.#log.text
  }

  get hasExited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  stop(): Promise<ServerExit> {
    this.#child.kill('SIGTERM')
    return within('it to stop under node', this.exit)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.exit
  }
}
