/**
 * Patches of `fs.*Sync`, `child_process`, `setTimeout`, `setInterval`,
 * `net.Socket.prototype.connect`, `net.Server.prototype.listen` and `EventEmitter.init`, only with
 * `--boot-profile` and only until the worker is ready.
 *
 * Why: a boot profile names what each import does, and Node has no event for these calls.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: src/patches/module-loading.test.ts
 */
import childProcess from 'node:child_process'
import { EventEmitter } from 'node:events'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { monotonicNow } from '../resilience/clock.ts'
import { formatDuration, ms } from '../resilience/duration.ts'

type Callable = (this: unknown, ...args: unknown[]) => unknown
type Members = Record<string, unknown>

/** Receives what modules do while they are imported. */
export interface SideEffectObserver {
  /** The module whose code is running; undefined while none is being imported. */
  readonly current: object | undefined
  /** @param ms how long it blocked, in milliseconds; 0 if it did not */
  note(what: string, ms: number): void
}

/** Objects that are better created on first use than on import, by the name of their class. */
const HEAVY = /(?:Pool|Client|Redis|Cluster|Connection|Queue|Worker|Browser)$/
const CHILDREN = ['exec', 'execFile', 'spawn', 'fork', 'execSync', 'execFileSync', 'spawnSync']
const MAX_LENGTH = 60

/**
 * Reports what modules do while they are imported: connect, listen, create pools and clients, start
 * timers and processes, and read or write files synchronously. Calls by Node itself do not count.
 *
 * @returns removes the patches
 */
export function observeImportSideEffects(observer: SideEffectObserver): () => void {
  const undo: (() => void)[] = []
  const patch = (
    owner: object,
    name: string,
    describe: (args: readonly unknown[]) => string,
    { blocks = false, alsoNode = false }: { readonly blocks?: boolean; readonly alsoNode?: boolean } = {},
  ): void => {
    const members = owner as Members
    const original = members[name]
    if (typeof original !== 'function') return
    const patched: Callable = function (...args) {
      if (observer.current === undefined || (!alsoNode && isCalledByNode(patched))) return original.apply(this, args)
      const before = monotonicNow()
      try {
        return new.target === undefined ? original.apply(this, args) : Reflect.construct(original, args)
      } finally {
        observer.note(describe(args), blocks ? monotonicNow() - before : 0)
      }
    }
    // `util.promisify` and others look at properties of the function.
    Object.defineProperties(patched, Object.getOwnPropertyDescriptors(original))
    members[name] = patched
    undo.push(() => {
      if (members[name] === patched) members[name] = original
    })
  }

  for (const name of Object.keys(fs).filter((name) => name.endsWith('Sync'))) {
    patch(fs, name, ([path]) => `${name} ${formatPath(path)}`.trim(), { blocks: true })
  }
  for (const name of CHILDREN) {
    patch(childProcess, name, ([file]) => `${name} ${truncate(String(file))}`, { blocks: name.endsWith('Sync') })
  }
  patch(globalThis, 'setTimeout', ([, delay]) => `timer ${formatDelay(delay)}`)
  patch(globalThis, 'setInterval', ([, delay]) => `interval ${formatDelay(delay)}`)
  // Libraries create sockets and servers through Node, so calls by Node count here.
  patch(net.Socket.prototype, 'connect', ([to]) => `socket to ${formatAddress(to)}`, { alsoNode: true })
  patch(net.Server.prototype, 'listen', () => 'server', { alsoNode: true })
  patchEmitters(observer, undo)
  syncBuiltinESMExports()
  return () => {
    for (const one of undo) one()
    syncBuiltinESMExports()
  }
}

/**
 * Pools, clients and threads are event emitters, and the constructor of `EventEmitter` calls
 * `init`.
 */
function patchEmitters(observer: SideEffectObserver, undo: (() => void)[]): void {
  const emitters = EventEmitter as unknown as { init: Callable }
  const { init } = emitters
  emitters.init = function (...args) {
    const name = (this as object).constructor?.name ?? ''
    if (observer.current !== undefined && HEAVY.test(name)) observer.note(`new ${name}`, 0)
    return init.apply(this, args)
  }
  undo.push(() => {
    emitters.init = init
  })
}

function isCalledByNode(callee: Callable): boolean {
  const holder: { stack?: string } = {}
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 1
  Error.captureStackTrace(holder, callee)
  Error.stackTraceLimit = stackTraceLimit
  return /\((?:node:|internal\/)|at node:/.test(holder.stack ?? '')
}

function formatPath(path: unknown): string {
  if (path instanceof URL) return basename(fileURLToPath(path))
  return typeof path === 'string' ? truncate(basename(path)) : ''
}

function formatDelay(delay: unknown): string {
  return formatDuration(ms(Math.max(0, Number(delay ?? 0) || 0)))
}

/** `net` passes its normalized arguments on as one array of options and callback. */
function formatAddress(to: unknown): string {
  const [first] = Array.isArray(to) ? to : [to]
  if (typeof first !== 'object' || first === null) return String(first)
  const { host = 'localhost', port, path } = first as { host?: string; port?: number; path?: string }
  return path ?? `${host}:${port}`
}

function truncate(text: string): string {
  return text.length <= MAX_LENGTH ? text : `${text.slice(0, MAX_LENGTH - 1)}…`
}
