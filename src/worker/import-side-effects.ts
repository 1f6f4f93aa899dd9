import childProcess from 'node:child_process'
import { EventEmitter } from 'node:events'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { monotonicNow } from '../resilience/clock.ts'
import { formatDuration, ms } from '../resilience/duration.ts'
import type { ImportProfile } from './import-costs.ts'

type Callable = (this: unknown, ...args: unknown[]) => unknown
type Members = Record<string, unknown>

/** What is made at import time and is better made at first use, known by the name of its class. */
const HEAVY = /(?:Pool|Client|Redis|Cluster|Connection|Queue|Worker|Browser)$/
const CHILDREN = ['exec', 'execFile', 'spawn', 'fork', 'execSync', 'execFileSync', 'spawnSync']
const LONGEST = 60

/**
 * Notes what modules do while they are imported: connect and listen, make pools and clients, start timers and processes, read and write files
 * synchronously. Calls by Node itself do not count.
 *
 * @returns stops it
 */
export function watchDeeds(ledger: ImportProfile): () => void {
  const undo: (() => void)[] = []
  const wrap = (
    owner: object,
    name: string,
    tell: (args: readonly unknown[]) => string,
    { blocks = false, alsoNode = false }: { readonly blocks?: boolean; readonly alsoNode?: boolean } = {},
  ): void => {
    const members = owner as Members
    const original = members[name]
    if (typeof original !== 'function') return
    const wrapped: Callable = function (...args) {
      if (ledger.current === undefined || (!alsoNode && isNodesOwn(wrapped))) return original.apply(this, args)
      const before = monotonicNow()
      try {
        return new.target === undefined ? original.apply(this, args) : Reflect.construct(original, args)
      } finally {
        ledger.note(tell(args), blocks ? monotonicNow() - before : 0)
      }
    }
    // `util.promisify` and others look at properties of the function.
    Object.defineProperties(wrapped, Object.getOwnPropertyDescriptors(original))
    members[name] = wrapped
    undo.push(() => {
      if (members[name] === wrapped) members[name] = original
    })
  }

  for (const name of Object.keys(fs).filter((name) => name.endsWith('Sync'))) {
    wrap(fs, name, ([path]) => `${name} ${tellPath(path)}`.trim(), { blocks: true })
  }
  for (const name of CHILDREN) {
    wrap(childProcess, name, ([file]) => `${name} ${cut(String(file))}`, { blocks: name.endsWith('Sync') })
  }
  wrap(globalThis, 'setTimeout', ([, delay]) => `timer ${tellDelay(delay)}`)
  wrap(globalThis, 'setInterval', ([, delay]) => `interval ${tellDelay(delay)}`)
  // Whoever makes a socket or a server does so through Node.
  wrap(net.Socket.prototype, 'connect', ([to]) => `socket to ${tellAddress(to)}`, { alsoNode: true })
  wrap(net.Server.prototype, 'listen', () => 'server', { alsoNode: true })
  wrapEmitters(ledger, undo)
  syncBuiltinESMExports()
  return () => {
    for (const one of undo) one()
    syncBuiltinESMExports()
  }
}

/** Pools, clients and threads are event emitters, whose constructor calls this. */
function wrapEmitters(ledger: ImportProfile, undo: (() => void)[]): void {
  const emitters = EventEmitter as unknown as { init: Callable }
  const { init } = emitters
  emitters.init = function (...args) {
    const name = (this as object).constructor?.name ?? ''
    if (ledger.current !== undefined && HEAVY.test(name)) ledger.note(`new ${name}`, 0)
    return init.apply(this, args)
  }
  undo.push(() => {
    emitters.init = init
  })
}

function isNodesOwn(callee: Callable): boolean {
  const holder: { stack?: string } = {}
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 1
  Error.captureStackTrace(holder, callee)
  Error.stackTraceLimit = stackTraceLimit
  return /\((?:node:|internal\/)|at node:/.test(holder.stack ?? '')
}

function tellPath(path: unknown): string {
  if (path instanceof URL) return basename(fileURLToPath(path))
  return typeof path === 'string' ? cut(basename(path)) : ''
}

function tellDelay(delay: unknown): string {
  return formatDuration(ms(Math.max(0, Number(delay ?? 0) || 0)))
}

/** `net` normalises what it is called with into an array of options and callback. */
function tellAddress(to: unknown): string {
  const [first] = Array.isArray(to) ? to : [to]
  if (typeof first !== 'object' || first === null) return String(first)
  const { host = 'localhost', port, path } = first as { host?: string; port?: number; path?: string }
  return path ?? `${host}:${port}`
}

function cut(text: string): string {
  return text.length <= LONGEST ? text : `${text.slice(0, LONGEST - 1)}…`
}
