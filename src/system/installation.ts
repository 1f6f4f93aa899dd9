import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { realPath } from './working-directory.ts'

/** The folder of the code (`src` or `dist`), and the package, that this process was loaded from. */
const CODE = dirname(dirname(fileURLToPath(import.meta.url)))
const PACKAGE = dirname(CODE)

/** What identifies an installed version. */
interface Installed {
  readonly version: string
  /** Number and size of its files: a version may be installed again with other contents. */
  readonly contents: string
}

/**
 * This package on disk, which may change while the process runs: a deploy installs another version,
 * or switches a link to another release and deletes the one that this process was loaded from.
 */
export class Installation {
  readonly #running: Installed | null
  /** Its path through links (of a deploy, of pnpm), which a later start would load. */
  readonly #current: string

  /** @param cwd as `workingDirectory` has it */
  constructor(cwd: string) {
    this.#running = installedAt(PACKAGE)
    this.#current = currentPath(cwd)
  }

  /** The versions, if a start would load another package than this process did. */
  change(): { readonly running: string; readonly installed: string } | null {
    const installed = installedAt(this.#current)
    if (installed === null || this.#running === null || isSame(installed, this.#running)) return null
    return { running: this.#running.version, installed: installed.version }
  }

  /** The path of a file in the folder of the code, for a new process. */
  fileOf(path: string): string {
    const own = join(CODE, path)
    if (realPath(this.#current) === PACKAGE) return own
    const current = join(this.#current, basename(CODE), path)
    return existsSync(current) && (!existsSync(own) || this.change() === null) ? current : own
  }
}

function currentPath(cwd: string): string {
  for (let directory = cwd; ; directory = dirname(directory)) {
    const path = join(directory, 'node_modules', 'punctual')
    if (realPath(path) === PACKAGE) return path
    if (directory === dirname(directory)) break
  }
  const inside = relative(realPath(cwd) ?? cwd, PACKAGE)
  return inside.startsWith('..') ? PACKAGE : join(cwd, inside)
}

function isSame(one: Installed, other: Installed): boolean {
  return one.version === other.version && one.contents === other.contents
}

function installedAt(path: string): Installed | null {
  try {
    const { version } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as { version: string }
    const code = join(path, basename(CODE))
    const files = readdirSync(code, { recursive: true, encoding: 'utf8' })
    let bytes = 0
    for (const file of files) bytes += statSync(join(code, file)).size
    return { version, contents: `${files.length} files, ${bytes} bytes` }
  } catch {
    return null
  }
}
