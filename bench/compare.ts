import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { markdownTable } from './figures.ts'
import { spreadOf, tellSpread } from './ratio.ts'

const ROOT = join(import.meta.dirname, '..')

/** One figure of a bench, as its own process prints it. */
export interface ComparedFigure {
  readonly title: string
  /** The script, relative to a checkout. */
  readonly script: string
  readonly args: readonly string[]
  /** The figure in what the script prints. */
  readonly read: (output: string) => number
}

/**
 * Measures figures of this checkout and of another in turn, and prints them with the ratio that is
 * taken in each round. The other checkout runs its own script, so the two may have different APIs.
 *
 * @param other directory of the other checkout, with its dependencies installed
 * @throws Error if that is no checkout
 */
export function compareFigures(other: string, figures: readonly ComparedFigure[], rounds: number): void {
  if (!existsSync(join(other, 'bench/run.ts'))) throw new Error(`${other} is not a checkout with a bench folder`)
  installContendersOf(other)
  const rows = figures.map(({ title, script, args, read }) => {
    const here: number[] = []
    const there: number[] = []
    for (let round = 0; round < rounds; round++) {
      const sides = [
        () => here.push(read(output(ROOT, script, args))),
        () => there.push(read(output(other, script, args))),
      ]
      for (const side of round % 2 === 0 ? sides : sides.toReversed()) side()
    }
    const ratios = here.map((value, round) => value / (there[round] ?? value))
    return [title, tellSpread(spreadOf(here), 2), tellSpread(spreadOf(there), 2), tellSpread(spreadOf(ratios), 3)]
  })
  console.log(markdownTable(['Figure', 'This checkout', 'The other', 'Ratio'], rows))
}

function installContendersOf(checkout: string): void {
  const install = `(await import(${JSON.stringify(join(checkout, 'bench/install.ts'))})).installContenders()`
  execFileSync(process.execPath, ['--input-type=module', '--eval', install], { stdio: ['ignore', 2, 2] })
}

function output(checkout: string, script: string, args: readonly string[]): string {
  return execFileSync(process.execPath, [join(checkout, script), ...args], {
    encoding: 'utf8',
    timeout: 120_000,
    killSignal: 'SIGKILL',
  })
}
