import { spawn } from 'node:child_process'
import { delimiter, join } from 'node:path'

const LIMIT = 300_000

export interface ToolResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/**
 * Runs a program of `node_modules/.bin` (or of the machine) in `root`, for at most five minutes.
 *
 * @param input its standard input. Default: none.
 */
export function spawnTool(root: string, name: string, args: readonly string[], input = ''): Promise<ToolResult> {
  const path = `${join(root, 'node_modules/.bin')}${delimiter}${process.env.PATH ?? ''}`
  const child = spawn(name, args, {
    cwd: root,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, PATH: path, NO_COLOR: '1' },
    timeout: LIMIT,
    killSignal: 'SIGKILL',
  })
  // A program that does not read its input may close it.
  child.stdin.on('error', () => {}).end(input)
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (signal !== null) stderr += `\n${name} was ended by ${signal} after at most ${LIMIT / 1_000} s`
      resolve({ code: code ?? 1, stdout, stderr })
    })
  })
}

/** The output of the tool as one fault if it fails; no fault if it succeeds. */
export async function runTool(root: string, name: string, args: readonly string[]): Promise<readonly string[]> {
  const { code, stdout, stderr } = await spawnTool(root, name, args)
  if (code === 0) return []
  return [`${stdout}${stderr}`.trim() || `${name} ended with ${code}`]
}
