import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { processesWith } from '../../../scripts/left-behind.ts'
import type { ReleaseUndo } from '../../../src/diagnostics/release-report.ts'
import type { ReleaseEnd } from '../../../src/release/messages.ts'
import { type AppDirectory, createAppDirectory } from '../support/app-directory.ts'
import { type LogLine, LogLines } from '../support/log-lines.ts'
import { signalTo } from '../support/server.ts'
import { until, WAIT_LIMIT, within } from '../support/until.ts'

const BIN = join(import.meta.dirname, '../../../bin/punctual.js')

/** How a command ended, and its output. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  /** The output of `--json`; null if the command failed before the release started. */
  readonly end: ReleaseEnd | null
  /** The progress lines with this event. */
  events(name: string): readonly LogLine[]
}

/** A running `punctual` command. */
export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  /** Its standard error so far. */
  readonly progress: LogLines
}

/** After a failure before the first step. */
export const NOTHING_UNDONE: ReleaseUndo = { rolledBack: [], kept: [], restored: false }

/** Picks some fields of an object for a comparison. */
export function pick<T extends object, K extends keyof T>(
  from: T | null | undefined,
  ...names: readonly K[]
): Pick<T, K> {
  return Object.fromEntries(names.map((name) => [name, from?.[name]])) as Pick<T, K>
}

/**
 * A directory with a config file, to run `punctual release` in. Disposing it kills what still runs
 * there.
 */
export class ReleaseApp implements AsyncDisposable {
  readonly directory: AppDirectory
  /** Additional variables for its commands; may be changed between them. */
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

  /** Starts `punctual release --json …`. */
  start(...args: readonly string[]): Running {
    return this.startPlain('--json', ...args)
  }

  /** Starts `punctual release …` with its output for people. */
  startPlain(...args: readonly string[]): Running {
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
      child.on('close', (code, signal) => {
        const end = args.includes('--json') && out.text !== '' ? (JSON.parse(out.text) as ReleaseEnd) : null
        const events = (name: string): readonly LogLine[] => said.lines.filter(({ event }) => event === name)
        resolve({ code, signal, stdout: out.text, stderr: said.text, end, events })
      })
    })
    return { child, progress: said, ended }
  }

  /** Runs `punctual release --json …` to its end. */
  release(...args: readonly string[]): Promise<Ended> {
    return within(`punctual release ${args.join(' ')}`, this.start(...args).ended, WAIT_LIMIT * 2)
  }

  /**
   * Pids of the processes that run for this app, optionally only those with a matching command
   * line.
   */
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
