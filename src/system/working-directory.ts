import { lstatSync, realpathSync } from 'node:fs'
import { dirname, isAbsolute, join, relative, sep } from 'node:path'

/** Where the working directory is looked up. Replaced in tests. */
export interface Surroundings {
  /** The working directory without symbolic links. */
  readonly physical: string
  /** Paths that may name it with its links. */
  readonly named: readonly (string | undefined)[]
}

/**
 * The working directory as the operator names it: `/srv/app/current`, where that is a symbolic link
 * to `/srv/app/releases/7`. The kernel knows the second only, which is gone after some deploys;
 * the shell knows the first (`PWD`), and so does the path of the command.
 */
export function workingDirectory({ physical, named }: Surroundings = surroundings()): string {
  for (const path of named) {
    if (path === undefined || !isAbsolute(path)) continue
    for (let directory = path; directory !== dirname(directory); directory = dirname(directory)) {
      if (directory !== physical && realPath(directory) === physical) return directory
    }
  }
  return physical
}

function surroundings(): Surroundings {
  const { PWD } = process.env
  const named = [PWD, process.argv[1], process.argv.find((argument, index) => index > 1 && isAbsolute(argument))]
  try {
    return { physical: process.cwd(), named }
  } catch {
    // It was deleted.
    return { physical: PWD ?? sep, named }
  }
}

/**
 * The link by which releases are switched: in the path of a working directory, a symbolic link to a
 * directory beside it or below that. Null if there is none.
 */
export function deploymentLink(cwd: string): string | null {
  for (let path = cwd; path !== dirname(path); path = dirname(path)) {
    const parent = dirname(path)
    if (isLink(path) && parent !== dirname(parent) && realPath(path)?.startsWith(realPath(parent) + sep)) return path
  }
  return null
}

/**
 * The default state directory: `.punctual` in the working directory. Where a link switches releases
 * it is beside that link, because releases are deleted: `/srv/app/.punctual/current`.
 */
export function defaultStateDirectory(cwd: string): string {
  const link = deploymentLink(cwd)
  return link === null ? join(cwd, '.punctual') : join(dirname(link), '.punctual', relative(dirname(link), cwd))
}

/** Undefined if it does not exist. */
export function realPath(path: string): string | undefined {
  try {
    return realpathSync(path)
  } catch {
    return undefined
  }
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink()
  } catch {
    return false
  }
}
