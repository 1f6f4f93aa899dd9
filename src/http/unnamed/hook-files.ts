import { readlinkSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { beginUnnamed, unansweredRequest } from './begin-unnamed.ts'
import { UnnamedWait } from './unnamed-waits.ts'
import { type Begin, wrap, wrapCallbacks, wrapPromises } from './wrap-function.ts'

/** Of `node:fs` and its promises. */
const BY_PATH = [
  'access',
  'appendFile',
  'chmod',
  'chown',
  'copyFile',
  'cp',
  'exists',
  'lchown',
  'link',
  'lstat',
  'lutimes',
  'mkdir',
  'mkdtemp',
  'open',
  'opendir',
  'readFile',
  'readdir',
  'readlink',
  'realpath',
  'rename',
  'rm',
  'rmdir',
  'stat',
  'statfs',
  'symlink',
  'truncate',
  'unlink',
  'utimes',
  'writeFile',
]
/** Of `node:fs` alone: their first argument is a descriptor. */
const BY_DESCRIPTOR = ['fdatasync', 'fsync', 'fstat', 'ftruncate', 'read', 'readv', 'write', 'writev']
const OF_HANDLE = [
  'appendFile',
  'datasync',
  'read',
  'readFile',
  'readv',
  'stat',
  'sync',
  'truncate',
  'write',
  'writeFile',
  'writev',
]

/** What Node takes for a file. */
type File = string | Buffer | URL | number | { readonly fd: number }

/** An operation on a file. */
export class FileWait extends UnnamedWait {
  readonly operation: string
  readonly #file: File
  /** It says so itself. */
  readonly over = false

  constructor(operation: string, file: File) {
    super()
    this.operation = operation
    this.#file = file
  }

  /** Made when it is told, because the kernel must be asked for the path of a descriptor. */
  get path(): string {
    const file = this.#file
    if (typeof file === 'string') return file
    if (typeof file === 'number') return pathOfDescriptor(file)
    if (file instanceof URL) return file.protocol === 'file:' ? fileURLToPath(file) : file.href
    return Buffer.isBuffer(file) ? file.toString() : pathOfDescriptor(file.fd)
  }

  tell(): string {
    return `${this.operation} ${this.path}`
  }
}

/** The asynchronous operations of `node:fs`: with callbacks, with promises, and of `FileHandle`. */
export function hookFiles(): void {
  const fs = process.getBuiltinModule('node:fs')
  const begin: Begin = (operation, [file]) => beginFile(operation, file)
  wrapCallbacks(fs, [...BY_PATH, ...BY_DESCRIPTOR], begin)
  wrapPromises(fs.promises, BY_PATH, begin)
  hookFileHandles(fs.promises)
}

/** Node does not give away the class of its file handles: the first that is opened shows it. */
function hookFileHandles(promises: object): void {
  let hooked = false
  const hookClassOf = (handle: object): object => {
    if (!hooked) {
      hooked = true
      wrapPromises(Object.getPrototypeOf(handle), OF_HANDLE, (operation, _, self) => beginFile(operation, self))
    }
    return handle
  }
  wrap(
    promises,
    'open',
    (base) =>
      function (this: unknown, ...args: unknown[]): unknown {
        const opened = base.apply(this, args)
        return hooked ? opened : (opened as Promise<object>).then(hookClassOf)
      },
  )
}

function beginFile(operation: string, file: unknown): UnnamedWait | null {
  const scope = unansweredRequest()
  if (scope === undefined || !isFile(file)) return null
  const wait = new FileWait(operation, file)
  beginUnnamed(scope, wait)
  return wait
}

function isFile(value: unknown): value is File {
  if (typeof value === 'string' || typeof value === 'number') return true
  if (typeof value !== 'object' || value === null) return false
  return value instanceof URL || Buffer.isBuffer(value) || 'fd' in value
}

/** Linux knows it; elsewhere, and of a descriptor that was closed, there is only the number. */
function pathOfDescriptor(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return `descriptor ${fd}`
  }
}
