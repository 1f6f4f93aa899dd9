/**
 * Patches of the asynchronous functions of `node:fs` (callbacks, promises, `FileHandle`),
 * `node:dns` (with its resolvers) and of `ChildProcess.prototype.spawn`; and, through
 * `client-sockets.ts`, of `net.Socket`.
 *
 * Why: a request that times out reports what it was waiting for, also in an app that does not use
 * the toolkit. Node publishes events for outgoing HTTP only (`http/unnamed/outgoing-calls.ts`
 * subscribes to those).
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: src/patches/async-operations.test.ts
 */
import type { ChildProcess } from 'node:child_process'
import { syncBuiltinESMExports } from 'node:module'
import { unansweredRequest } from '../http/scope.ts'
import { ChildWait, FileWait, isFile, LookupWait } from '../http/unnamed/operations.ts'
import { observeFetch, observeNodeHttp, type UnnamedWaitOptions } from '../http/unnamed/outgoing-calls.ts'
import { patchClientSockets } from './client-sockets.ts'
import { type Begin, type Operation, patchCallbacks, patchFunction, patchPromises } from './patch-function.ts'

/**
 * Records what the requests of an unchanged app wait for: sockets they have written to, lookups,
 * calls, child processes, files. Called once, before the app is loaded. A wait is recorded where it
 * starts, in a list of its request; a request that starts none has no list.
 */
export function patchAsyncOperations(options: UnnamedWaitOptions): void {
  if (options.trace || options.propagateTo !== null) {
    observeNodeHttp(options)
    observeFetch(options)
  }
  if (!options.trace) return
  patchClientSockets()
  patchLookups()
  patchChildProcesses()
  patchFiles()
  // For names that were imported before.
  syncBuiltinESMExports()
}

const LOOKUPS = ['lookup', 'lookupService']
const RESOLVES = [
  'resolve',
  ...['resolve4', 'resolve6', 'resolveAny', 'resolveCaa', 'resolveCname', 'resolveMx', 'resolveNaptr', 'resolveNs'],
  ...['resolvePtr', 'resolveSoa', 'resolveSrv', 'resolveTlsa', 'resolveTxt', 'reverse'],
]

function patchLookups(): void {
  const dns = process.getBuiltinModule('node:dns')
  const begin: Begin = (_, [host]) => (typeof host === 'string' ? record(() => new LookupWait(host)) : null)
  patchCallbacks(dns, [...LOOKUPS, ...RESOLVES], begin)
  patchPromises(dns.promises, [...LOOKUPS, ...RESOLVES], begin)
  // `dns.setServers` replaces the functions of the module by those of these prototypes.
  patchCallbacks(dns.Resolver.prototype, RESOLVES, begin)
  patchPromises(dns.promises.Resolver.prototype, RESOLVES, begin)
}

/**
 * `spawn`, `exec`, `execFile` and `fork` all call one method. Detached children are not waited for.
 */
function patchChildProcesses(): void {
  const { ChildProcess } = process.getBuiltinModule('node:child_process')
  patchFunction(
    ChildProcess.prototype,
    'spawn',
    (base) =>
      function (this: unknown, ...args: unknown[]): unknown {
        const result = base.apply(this, args)
        const child = this as ChildProcess
        const detached = (args[0] as { detached?: unknown } | undefined)?.detached === true
        if (child.pid !== undefined && !detached) record(() => new ChildWait(child))
        return result
      },
  )
}

/** Functions of `node:fs` and `fs.promises` whose first argument is a path. */
const BY_PATH = [
  ...['access', 'appendFile', 'chmod', 'chown', 'copyFile', 'cp', 'exists', 'lchown', 'link', 'lstat', 'lutimes'],
  ...['mkdir', 'mkdtemp', 'open', 'opendir', 'readFile', 'readdir', 'readlink', 'realpath', 'rename', 'rm', 'rmdir'],
  ...['stat', 'statfs', 'symlink', 'truncate', 'unlink', 'utimes', 'writeFile'],
]
/** Functions of `node:fs` whose first argument is a descriptor. */
const BY_DESCRIPTOR = ['fdatasync', 'fsync', 'fstat', 'ftruncate', 'read', 'readv', 'write', 'writev']
const OF_HANDLE = [
  ...['appendFile', 'datasync', 'read', 'readFile', 'readv', 'stat', 'sync', 'truncate'],
  ...['write', 'writeFile', 'writev'],
]

function patchFiles(): void {
  const fs = process.getBuiltinModule('node:fs')
  const begin: Begin = (operation, [file]) => recordFile(operation, file)
  patchCallbacks(fs, [...BY_PATH, ...BY_DESCRIPTOR], begin)
  patchPromises(fs.promises, BY_PATH, begin)
  patchFileHandles(fs.promises)
}

/** Node does not export the class of file handles; the first handle that is opened leads to it. */
function patchFileHandles(promises: object): void {
  let patched = false
  const patchClassOf = (handle: object): object => {
    if (!patched) {
      patched = true
      patchPromises(Object.getPrototypeOf(handle), OF_HANDLE, (operation, _, self) => recordFile(operation, self))
    }
    return handle
  }
  patchFunction(
    promises,
    'open',
    (base) =>
      function (this: unknown, ...args: unknown[]): unknown {
        const opened = base.apply(this, args)
        return patched ? opened : (opened as Promise<object>).then(patchClassOf)
      },
  )
}

function recordFile(operation: string, file: unknown): Operation | null {
  return isFile(file) ? record(() => new FileWait(operation, file)) : null
}

/**
 * Records a wait of the running request; null outside of requests, and once its client has been
 * answered.
 */
function record(create: () => LookupWait | ChildWait | FileWait): Operation | null {
  const scope = unansweredRequest()
  if (scope === undefined) return null
  const wait = create()
  scope.beginUnnamed(wait)
  return wait
}
