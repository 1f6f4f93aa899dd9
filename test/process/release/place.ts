import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { processesWith } from '../../../scripts/left-behind.ts'
import { type AppDirectory, createAppDirectory } from '../support/app-directory.ts'
import { LogLines } from '../support/log-lines.ts'
import { signalTo } from '../support/server.ts'
import { until, WAIT_LIMIT, within } from '../support/until.ts'

const BIN = join(import.meta.dirname, '../../../bin/punctual.js')

/** How a command ended, and what it said. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A `punctual` command that runs. */
export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  /** What it has printed on standard error so far. */
  readonly said: LogLines
}

/** A directory with a config file, in which `punctual release` is run. Leaving its scope ends what still runs there. */
export class ReleasePlace implements AsyncDisposable {
  readonly directory: AppDirectory
  /** What its commands find in their environment besides; may be changed between them. */
  readonly env: Record<string, string>
  readonly #marker = randomUUID()

  /** @param config the text of `punctual.config.ts` */
  constructor(
    config: string,
    env: Readonly<Record<string, string>> = {},
    files: Readonly<Record<string, string>> = {},
  ) {
    this.directory = createAppDirectory({ 'punctual.config.ts': config, ...files })
    this.env = { ...env }
  }

  /** Begins `punctual release …`. */
  start(...args: readonly string[]): Running {
    const inherited = Object.entries(process.env).filter(
      ([name]) => !name.startsWith('PUNCTUAL_') || name.startsWith('PUNCTUAL__'),
    )
    const child = spawn(process.execPath, [BIN, 'release', ...args], {
      cwd: this.directory.path,
      env: { ...Object.fromEntries(inherited), ...this.env, PUNCTUAL__TEST_PLACE: this.#marker },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const [out, said] = [new LogLines(), new LogLines()]
    out.collect(child.stdout)
    said.collect(child.stderr)
    const ended = new Promise<Ended>((resolve) => {
      child.on('close', (code, signal) => resolve({ code, signal, stdout: out.text, stderr: said.text }))
    })
    return { child, said, ended }
  }

  /** Runs it to its end. */
  release(...args: readonly string[]): Promise<Ended> {
    return within(`punctual release ${args.join(' ')}`, this.start(...args).ended, WAIT_LIMIT * 2)
  }

  /** Pids of whatever runs for this place; of what has such a command line alone, where one is given. */
  processes(running: RegExp = /(?:)/): readonly number[] {
    const all = processesWith(`PUNCTUAL__TEST_PLACE=${this.#marker}`)
    return all.filter(({ command }) => running.test(command)).map(({ pid }) => pid)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await until('all processes of the release to be gone', () => this.processes().length === 0, 15_000)
    } finally {
      for (const pid of this.processes()) signalTo(pid, 'SIGKILL')
      this.directory.remove()
    }
  }
}
