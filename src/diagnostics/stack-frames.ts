import { isAbsolute, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { StackFrame } from './incident.ts'

/** Directories of Punctual itself, whose frames never explain anything to the owner of an app: this file lies in `src/diagnostics` or `dist/report`. */
const PACKAGE = fileURLToPath(new URL('../../', import.meta.url))
const OWN = ['src', 'dist', 'bin'].map((directory) => `${PACKAGE}${directory}${sep}`)

/** The frame that says most about a stall: the innermost of the app's own code; failing that, the innermost of all. */
export function mostRelevantFrame(stack: readonly StackFrame[]): StackFrame | undefined {
  return stack.find((frame) => isAppCode(localPath(frame.file))) ?? stack[0]
}

/** `verify (src/login.ts:42)`, the path relative to `cwd` where it lies below. */
export function formatFrame(frame: StackFrame, cwd: string): string {
  const name = frame.function === '' || frame.function === '(anonymous)' ? 'an anonymous function' : frame.function
  return `${name} (${shortPath(localPath(frame.file), cwd)}:${frame.line})`
}

/** A path as a person in `cwd` would type it. */
export function shortPath(path: string, cwd: string): string {
  if (!isAbsolute(path)) return path
  const short = relative(cwd, path)
  return short === '' || short.startsWith('..') ? path : short
}

/** Whether a file is of the app itself: neither of Node, nor of a package, nor of Punctual. */
export function isAppCode(path: string): boolean {
  if (path === '' || path.startsWith('node:') || path.includes(`${sep}node_modules${sep}`)) return false
  return !OWN.some((directory) => path.startsWith(directory))
}

/** A path, of a file's URL too. */
export function localPath(file: string): string {
  if (!file.startsWith('file:')) return file
  try {
    return fileURLToPath(file)
  } catch {
    return file
  }
}
