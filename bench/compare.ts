import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { markdownTable } from './figures.ts'
import { formatSpread, spreadOf } from './ratio.ts'

const ROOT = join(import.meta.dirname, '..')
/** Runs of a script until it counts as broken. */
const MAX_ATTEMPTS = 3

/** A figure of a bench that a script prints. */
export interface ComparedFigure {
  readonly title: string
  /**
   * Paths relative to a checkout, newest first; the first that exists is run. Older checkouts name
   * some differently.
   */
  readonly scripts: readonly string[]
  readonly args: readonly string[]
  /** Reads the figure from the output of the script. */
  readonly read: (output: string) => number
}

/**
 * Measures figures of this checkout and of another one in turn, and prints both with the ratio
 * within each round. Each checkout runs its own script, so their APIs may differ.
 *
 * @param other directory of the other checkout, with its dependencies installed
 * @throws Error if the directory is not a checkout or has none of the scripts of a figure
 */
export function compareFigures(other: string, figures: readonly ComparedFigure[], rounds: number): void {
  if (!existsSync(join(other, 'bench/run.ts'))) throw new Error(`${other} is not a checkout with a bench folder`)
  installContendersOf(other)
  const rows = [...Map.groupBy(figures, ({ scripts, args }) => JSON.stringify([scripts, args])).values()].flatMap(
    (ofOneScript) => compareScript(other, ofOneScript, rounds),
  )
  console.log(markdownTable(['Figure', 'This checkout', 'The other', 'Ratio'], rows))
}

/** The rows of figures that come from the same runs of one script. */
function compareScript(other: string, figures: readonly ComparedFigure[], rounds: number): readonly string[][] {
  const [{ scripts, args } = { scripts: [], args: [] }] = figures
  const ours = findScript(ROOT, scripts)
  const theirs = findScript(other, scripts)
  const here: string[] = []
  const there: string[] = []
  for (let round = 0; round < rounds; round++) {
    const sides = [() => here.push(output(ours, args)), () => there.push(output(theirs, args))]
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) side()
  }
  return figures.map(({ title, read }) => {
    const [mine, others] = [here.map(read), there.map(read)]
    const ratios = mine.map((value, round) => value / (others[round] ?? value))
    return [
      title,
      formatSpread(spreadOf(mine), 2),
      formatSpread(spreadOf(others), 2),
      formatSpread(spreadOf(ratios), 3),
    ]
  })
}

function installContendersOf(checkout: string): void {
  const install = `(await import(${JSON.stringify(join(checkout, 'bench/install.ts'))})).installContenders()`
  execFileSync(process.execPath, ['--input-type=module', '--eval', install], { stdio: ['ignore', 2, 2] })
}

function findScript(checkout: string, scripts: readonly string[]): string {
  const found = scripts.map((script) => join(checkout, script)).find((path) => existsSync(path))
  if (found === undefined) throw new Error(`${checkout} has no ${scripts.join(' or ')}`)
  return found
}

/** On a busy machine a run may fail, such as one whose disk does not answer: it is repeated. */
function output(script: string, args: readonly string[]): string {
  for (let attempt = 1; ; attempt++) {
    try {
      return execFileSync(process.execPath, [script, ...args], {
        encoding: 'utf8',
        timeout: 120_000,
        killSignal: 'SIGKILL',
      })
    } catch (error) {
      if (attempt === MAX_ATTEMPTS) throw error
      console.error(`bench: ${script} failed, and is run again`)
    }
  }
}
