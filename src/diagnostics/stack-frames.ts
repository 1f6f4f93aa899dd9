import { isAbsolute, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { realPath } from '../system/working-directory.ts'
import type { StackFrame } from './incident.ts'

/** The folders of Punctual itself; this file is in `src/diagnostics` or `dist/diagnostics`. */
const PACKAGE = fileURLToPath(new URL('../../', import.meta.url))
const OWN = ['src', 'dist', 'bin'].map((directory) => `${PACKAGE}${directory}${sep}`)

/** The frame that explains a stall best: the innermost of the app, else the innermost. */
export function mostRelevantFrame(stack: readonly StackFrame[]): StackFrame | undefined {
  return stack.find((frame) => isAppCode(localPath(frame.file))) ?? stack[0]
}

/** `verify (src/login.ts:42)`; a path below `cwd` is relative. */
export function formatFrame(frame: StackFrame, cwd: string): string {
  const name = frame.function === '' || frame.function === '(anonymous)' ? 'an anonymous function' : frame.function
  return `${name} (${shortPath(localPath(frame.file), cwd)}:${frame.line})`
}

/** A path relative to `cwd`, or where that leads through links, if it is below; else as it is. */
export function shortPath(path: string, cwd: string): string {
  if (!isAbsolute(path)) return path
  for (const directory of [cwd, realPath(cwd) ?? cwd]) {
    const short = relative(directory, path)
    if (short !== '' && !short.startsWith('..')) return short
  }
  return path
}

/** Whether a file belongs to the app: not to Node, a package or Punctual. */
export function isAppCode(path: string): boolean {
  if (path === '' || path.startsWith('node:') || path.includes(`${sep}node_modules${sep}`)) return false
  return !OWN.some((directory) => path.startsWith(directory))
}

/** Converts a `file:` URL to a path; anything else is returned as it is. */
export function localPath(file: string): string {
  if (!file.startsWith('file:')) return file
  try {
    return fileURLToPath(file)
  } catch {
    return file
  }
}
