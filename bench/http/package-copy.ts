import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'

const TIMEOUT = 180_000

/**
 * Copies the files that `npm pack` includes (bin, compiled dist, package.json) to `target`, with
 * the dependencies of the checkout. A checkout itself runs its TypeScript sources; users run the
 * package.
 *
 * @returns the path of `bin/punctual.js`
 * @throws Error if the checkout does not compile
 */
export function copyPackage(checkout: string, target: string): string {
  mkdirSync(target, { recursive: true })
  for (const part of ['package.json', 'bin']) cpSync(join(checkout, part), join(target, part), { recursive: true })
  symlinkSync(join(checkout, 'node_modules'), join(target, 'node_modules'))
  const compiler = join(checkout, 'node_modules/.bin/tsc')
  const args = ['-p', join(checkout, 'tsconfig.build.json'), '--outDir', join(target, 'dist')]
  const { stdout, status } = spawnSync(compiler, args, { cwd: checkout, encoding: 'utf8', timeout: TIMEOUT })
  if (!existsSync(join(target, 'dist/cli/main.js'))) throw new Error(`${checkout} does not compile:\n${stdout}`)
  if (status !== 0) console.error(`bench: ${checkout} compiles with errors:\n${stdout}`)
  return join(target, 'bin/punctual.js')
}
