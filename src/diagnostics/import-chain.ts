import { readFile, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { init, parse } from 'es-module-lexer'

const MOST_FILES = 3_000
const LARGEST_FILE = 2 * 1024 * 1024
/** What CommonJS requires. A lexer of ES modules does not report it, and cjs-module-lexer reports only what is re-exported. */
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
 * Who imports a file, found by reading the app's sources from its entry on: the file, who imports it, who imports that, up to the entry. For a
 * file of a package, who imports that package. It is made after the fact, so that no boot pays for it; what is imported by an alias or a computed
 * name is not found.
 *
 * @param entry absolute path
 * @param target absolute path
 * @returns absolute paths; empty where no way is found
 */
export async function importChain(entry: string, target: string): Promise<readonly string[]> {
  const importedBy = new Map<string, string | null>([[entry, null]])
  const wantedPackage = packageOf(target)
  const queue = [entry]
  for (let file = queue.shift(); file !== undefined && importedBy.size < MOST_FILES; file = queue.shift()) {
    if (file === target) return wayTo(target, importedBy)
    for (const specifier of await specifiersOf(file)) {
      if (wantedPackage !== null && isOf(specifier, wantedPackage)) {
        if (!importedBy.has(target)) importedBy.set(target, file)
        return wayTo(target, importedBy)
      }
      const found = await fileOf(specifier, file)
      if (found === null || importedBy.has(found)) continue
      importedBy.set(found, file)
      queue.push(found)
    }
  }
  return []
}

function wayTo(target: string, importedBy: ReadonlyMap<string, string | null>): readonly string[] {
  const way: string[] = []
  for (let file: string | null | undefined = target; file != null; file = importedBy.get(file)) way.push(file)
  return way
}

async function specifiersOf(file: string): Promise<readonly string[]> {
  try {
    if ((await stat(file)).size > LARGEST_FILE) return []
    const text = await readFile(file, 'utf8')
    await init
    const required = [...text.matchAll(REQUIRED)].map(([, specifier = '']) => specifier)
    return [...importedIn(text), ...required]
  } catch {
    return []
  }
}

function importedIn(text: string): readonly string[] {
  try {
    return parse(text)[0].flatMap((found) => {
      const { specifier } = found
      const isErased = 'typeOnly' in found && found.typeOnly
      // A computed `import()` has none; whether that is null or undefined depends on the lexer's release.
      return specifier == null || isErased ? [] : [specifier]
    })
  } catch {
    // Not an ES module, or a syntax error: Node names that itself.
    return []
  }
}

/** The file that a relative or absolute specifier means; null for packages and for what is not there. */
async function fileOf(specifier: string, importer: string): Promise<string | null> {
  if (!/^(?:\.{1,2}\/|\/|file:)/.test(specifier)) return null
  const path = specifier.startsWith('file:') ? fileURLToPath(specifier) : resolve(dirname(importer), specifier)
  // TypeScript is written with the names that its output will have.
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
