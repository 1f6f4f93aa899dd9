import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { endTree, TREE_VARIABLE } from '../end-tree.ts'
import { ReleaseError } from '../release-error.ts'

/** Of each stream, the last so many bytes are kept. */
const KEPT = 4 * 1024 * 1024

export interface ToolOptions {
  readonly signal: AbortSignal
  readonly env?: Readonly<Record<string, string>>
  readonly shell?: boolean
  readonly cwd?: string
}

/**
 * Runs a program to its end and gives what it printed. When the signal is aborted it is ended with all it has started.
 *
 * @throws ReleaseError with the end of its standard error if it does not succeed; the signal's reason if it was aborted
 */
export function runTool(file: string, args: readonly string[], options: ToolOptions): Promise<string> {
  const { signal, env = {}, shell = false, cwd } = options
  const mark = randomUUID()
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const child = spawn(file, args, {
      detached: true,
      shell,
      ...(cwd === undefined ? {} : { cwd }),
      env: { ...process.env, ...env, [TREE_VARIABLE]: mark },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let [stdout, stderr] = ['', '']
    let ending: Promise<void> | null = null
    const onAbort = (): void => {
      ending ??= endTree(child, mark, true)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      stdout = (stdout + chunk).slice(-KEPT)
    })
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      stderr = (stderr + chunk).slice(-KEPT)
    })
    child.on('error', (error) => {
      signal.removeEventListener('abort', onAbort)
      reject(error)
    })
    child.on('close', (code, killedBy) => {
      signal.removeEventListener('abort', onAbort)
      void Promise.resolve(ending).then(() => {
        if (signal.aborted) return reject(signal.reason)
        if (code === 0) return resolve(stdout)
        const told = lastLines(stderr === '' ? stdout : stderr)
        const how = killedBy ?? `exit code ${code}`
        reject(
          new ReleaseError(`${file} failed (${how})${told === '' ? '' : `: ${told}`}`, {
            phase: 'process',
            reason: 'command-failed',
            exitCode: code,
            signal: killedBy,
          }),
        )
      })
    })
  })
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-6).join('\n').slice(-1_000)
}
