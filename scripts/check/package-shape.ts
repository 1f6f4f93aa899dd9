import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { runTool, spawnTool } from './tool.ts'

interface Manifest {
  readonly bin: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>
}

const ALLOWED = /^(bin\/.+\.js|dist\/.+\.(js|d\.ts)|README\.md|LICENSE|CHANGELOG\.md|package\.json)$/
const REQUIRED = ['README.md', 'LICENSE', 'package.json']

/** Builds the package and checks the files that `npm pack` would include. */
export async function checkPackage(root: string): Promise<readonly string[]> {
  const build = await runTool(root, 'npm', ['run', '--silent', 'build'])
  if (build.length > 0) return build
  const packed = await spawnTool(root, 'npm', ['pack', '--dry-run', '--json', '--ignore-scripts'])
  if (packed.code !== 0) return [packed.stderr]
  const files = new Set(filesOf(packed.stdout))
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest
  const faults: string[] = []
  for (const file of files) {
    if (!ALLOWED.test(file) || file.includes('.test.')) faults.push(`the package would hold ${file}`)
  }
  for (const file of [...REQUIRED, ...Object.values(manifest.bin)]) {
    if (!files.has(file)) faults.push(`the package would lack ${file}`)
  }
  for (const [name, target] of Object.entries(manifest.exports)) {
    const paths = typeof target === 'string' ? [target] : [target.types, target.default]
    const missing = paths.filter((path) => !files.has(path.replace(/^\.\//, '')))
    for (const path of missing) faults.push(`export "${name}" leads to ${path}, which the package would lack`)
    if (missing.length === 0 && typeof target !== 'string') faults.push(...(await loads(root, name, target.default)))
  }
  return faults
}

/** npm 11 prints an array with one entry, npm 12 an object by name. */
function filesOf(stdout: string): string[] {
  const [first] = Object.values(JSON.parse(stdout) as Record<string, { files: { path: string }[] }>)
  return first?.files.map(({ path }) => path) ?? []
}

async function loads(root: string, name: string, path: string): Promise<readonly string[]> {
  const url = pathToFileURL(join(root, path)).href
  const { code, stderr } = await spawnTool(root, 'node', [
    '--input-type=module',
    '-e',
    `await import(${JSON.stringify(url)})`,
  ])
  return code === 0 ? [] : [`export "${name}" cannot be imported: ${stderr.trim()}`]
}
