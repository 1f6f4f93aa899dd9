import type { ChildProcess } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { programName } from '../../redaction/redaction.ts'
import { UnnamedWait } from './unnamed-waits.ts'

/** A DNS lookup of a host name or an address. */
export class LookupWait extends UnnamedWait {
  readonly host: string
  /** `end` is called. */
  readonly over = false

  constructor(host: string) {
    super()
    this.host = host
  }

  describe(): string {
    return `looking up ${this.host}`
  }
}

/** A running child process. */
export class ChildWait extends UnnamedWait {
  readonly #child: ChildProcess

  constructor(child: ChildProcess) {
    super()
    this.#child = child
  }

  get over(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  describe(): string {
    const { spawnfile, spawnargs, pid } = this.#child
    return `child process ${programName([spawnfile, ...spawnargs.slice(1)])} (pid ${pid})`
  }
}

/** What Node accepts as a file, and a `FileHandle`. */
export type File = string | Buffer | URL | number | { readonly fd: number }

/** An asynchronous operation on a file. */
export class FileWait extends UnnamedWait {
  readonly operation: string
  readonly #file: File
  /** `end` is called. */
  readonly over = false

  constructor(operation: string, file: File) {
    super()
    this.operation = operation
    this.#file = file
  }

  /** Computed on demand: the kernel has to be asked for the path of a descriptor. */
  get path(): string {
    const file = this.#file
    if (typeof file === 'string') return file
    if (typeof file === 'number') return pathOfDescriptor(file)
    if (file instanceof URL) return file.protocol === 'file:' ? fileURLToPath(file) : file.href
    return Buffer.isBuffer(file) ? file.toString() : pathOfDescriptor(file.fd)
  }

  describe(): string {
    return `${this.operation} ${this.path}`
  }
}

export function isFile(value: unknown): value is File {
  if (typeof value === 'string' || typeof value === 'number') return true
  if (typeof value !== 'object' || value === null) return false
  return value instanceof URL || Buffer.isBuffer(value) || 'fd' in value
}

/** Linux knows the path; elsewhere, and for a closed descriptor, only the number is known. */
function pathOfDescriptor(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return `descriptor ${fd}`
  }
}
