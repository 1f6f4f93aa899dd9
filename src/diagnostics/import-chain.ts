import { readFile, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { init, parse } from 'es-module-lexer'

const MAX_FILES = 3_000
const MAX_FILE_SIZE = 2 * 1024 * 1024
/**
 * `require` calls, which es-module-lexer does not report, and cjs-module-lexer only in re-exports.
 */
const REQUIRED = /(?<![\w$.])require\s*\(\s*["']([^"'\n]+)["']/g
const EXTENSIONS = [
  '',
  '.ts',
  '.js',
  '.mts',
  '.mjs',
  '.cts',
  '.cjs',
  '/index.ts',
  '/index.js',
  '/index.mjs',
  '/index.cjs',
]

/**
 * Finds the chain of imports from a file up to the entry by reading the app's sources: the file,
 * its importer, and so on. For a file of a package it starts at the importer of the package. It
 * runs only after a failed boot. Imports by an alias or a computed name are not found.
 *
 * @param entry absolute path
 * @param target absolute path
 * @returns absolute paths; empty if there is no chain
 */
export async function importChain(entry: string, target: string): Promise<readonly string[]> {
  const importedBy = new Map<string, string | null>([[entry, null]])
  const wantedPackage = packageOf(target)
  const queue = [entry]
  for (let file = queue.shift(); file !== undefined && importedBy.size < MAX_FILES; file = queue.shift()) {
    if (file === target) return chainTo(target, importedBy)
    for (const specifier of await specifiersOf(file)) {
      if (wantedPackage !== null && isOf(specifier, wantedPackage)) {
        if (!importedBy.has(target)) importedBy.set(target, file)
        return chainTo(target, importedBy)
      }
      const found = await fileOf(specifier, file)
      if (found === null || importedBy.has(found)) continue
      importedBy.set(found, file)
      queue.push(found)
    }
  }
  return []
}

/**
 * Reads the file and those that it imports by a relative or absolute specifier, directly or not:
 * the app's own code, without packages.
 */
export async function* ownSources(entry: string): AsyncGenerator<string> {
  const seen = new Set([entry])
  for (const file of seen) {
    if (seen.size > MAX_FILES) return
    const text = await textOf(file)
    if (text === null) continue
    yield text
    for (const specifier of await specifiersIn(text)) {
      const found = await fileOf(specifier, file)
      if (found !== null) seen.add(found)
    }
  }
}

function chainTo(target: string, importedBy: ReadonlyMap<string, string | null>): readonly string[] {
  const chain: string[] = []
  for (let file: string | null | undefined = target; file != null; file = importedBy.get(file)) chain.push(file)
  return chain
}

async function specifiersOf(file: string): Promise<readonly string[]> {
  const text = await textOf(file)
  return text === null ? [] : await specifiersIn(text)
}

async function textOf(file: string): Promise<string | null> {
  try {
    return (await stat(file)).size > MAX_FILE_SIZE ? null : await readFile(file, 'utf8')
  } catch {
    return null
  }
}

async function specifiersIn(text: string): Promise<readonly string[]> {
  await init
  const required = [...text.matchAll(REQUIRED)].map(([, specifier = '']) => specifier)
  return [...importedIn(text), ...required]
}

function importedIn(text: string): readonly string[] {
  try {
    return parse(text)[0].flatMap((found) => {
      const { specifier } = found
      const isErased = 'typeOnly' in found && found.typeOnly
      // A computed `import()` has none: null or undefined, depending on the version of the lexer.
      return specifier == null || isErased ? [] : [specifier]
    })
  } catch {
    // Not an ES module, or a syntax error, which Node reports itself.
    return []
  }
}

/** Resolves a relative or absolute specifier; null for packages and missing files. */
async function fileOf(specifier: string, importer: string): Promise<string | null> {
  if (!/^(?:\.{1,2}\/|\/|file:)/.test(specifier)) return null
  const path = specifier.startsWith('file:') ? fileURLToPath(specifier) : resolve(dirname(importer), specifier)
  // TypeScript imports use the names of the output files.
  const written = path.replace(/\.([mc]?)js$/, '.$1ts')
  for (const candidate of new Set([...EXTENSIONS.map((extension) => path + extension), written])) {
    const found = await stat(candidate).catch(() => null)
    if (found?.isFile() === true) return candidate
  }
  return null
}

/** `pg` or `@scope/name`, for a file inside of a package. */
function packageOf(file: string): string | null {
  const inside = file.split(`${join('/', 'node_modules')}/`).at(-1)
  if (inside === undefined || inside === file) return null
  return /^(?:@[^/]+\/)?[^/]+/.exec(inside)?.[0] ?? null
}

function isOf(specifier: string, wanted: string): boolean {
  return specifier === wanted || specifier.startsWith(`${wanted}/`)
}
