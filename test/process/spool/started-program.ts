import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { until, within } from '../support/until.ts'

export interface StartedProgram {
  readonly process: ChildProcess
  /** Its output so far. */
  printed(): string
  kill(): Promise<void>
}

/** Starts `apps/<name>.ts`, and waits until it has printed "ready". */
export function startProgram(context: TestContext, name: string, ...given: readonly string[]): Promise<StartedProgram> {
  return startProgramAs(context, null, name, ...given)
}

/** The same as another user, which only root may. */
export async function startProgramAs(
  context: TestContext,
  user: number | null,
  name: string,
  ...given: readonly string[]
): Promise<StartedProgram> {
  const path = new URL(`./apps/${name}.ts`, import.meta.url).pathname
  const child = spawn(process.execPath, [path, ...given], {
    stdio: ['pipe', 'pipe', 'inherit'],
    ...(user === null ? {} : { uid: user, gid: user }),
  })
  context.after(() => child.kill('SIGKILL'))
  const chunks: string[] = []
  child.stdout.setEncoding('utf8').on('data', (text: string) => chunks.push(text))
  const closed = once(child, 'close')
  await until(`${name} to be ready`, () => chunks.join('').includes('ready\n'))
  return {
    process: child,
    printed: () => chunks.join(''),
    kill: async () => {
      child.kill('SIGKILL')
      await within(`${name} to end`, closed)
    },
  }
}
