import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, sep } from 'node:path'
import type { BootNote } from '../ipc/messages.ts'

/** A package that keeps state in its process. */
interface Stateful {
  readonly name: string
  /** Packages that share its state between processes, if the app loads one. */
  readonly unless?: RegExp
  /** It can be loaded as an ES module, so that it is not in the cache of `require`. */
  readonly esm?: true
}

const SESSION_STORES =
  /^(?:@[^/]+\/)?(?:connect-(?!flash$|timeout$|busboy$|livereload$|history)|.*session.*(?:store|sequelize|redis|knex)|express-[a-z]+-session$|.*-session-store)/

/** Of each, what goes wrong with several workers is in docs/guides/several-workers.md. */
const STATEFUL: readonly Stateful[] = [
  { name: 'socket.io', unless: /^(?:@socket\.io\/.+-adapter|socket\.io-redis)$/ },
  { name: 'sockjs' },
  { name: 'node-red' },
  { name: 'express-session', unless: SESSION_STORES },
  { name: '@fastify/session', unless: SESSION_STORES },
  { name: 'memorystore' },
  { name: 'node-cron', esm: true },
  { name: 'cron' },
  { name: 'croner', esm: true },
  { name: 'node-schedule' },
  { name: 'toad-scheduler', esm: true },
  { name: 'graphql-subscriptions', unless: /^graphql-.+-subscriptions$/, esm: true },
  { name: '@hocuspocus/server', unless: /^@hocuspocus\/extension-redis$/, esm: true },
  { name: 'y-websocket', esm: true },
  { name: 'aedes', unless: /^(?:mqemitter-|aedes-persistence-)/ },
  { name: 'colyseus' },
]

const NODE_MODULES = `node_modules${sep}`

/** What a worker that is not the only one reports of the app's state; null if nothing is known. */
export function noteLocalState(entry: string, workers: number): BootNote | null {
  if (workers < 2) return null
  const found = statefulPackages(loadedPackages(), dependenciesOf(entry))
  if (found.length === 0) return null
  const verb = found.length === 1 ? 'keeps' : 'keep'
  const message = `${found.join(', ')} ${verb} state in the process, and requests go to any of ${workers} workers: use --workers 1, or see docs/guides/several-workers.md`
  return { event: 'state-in-process', message, found }
}

/**
 * The known packages that keep state.
 *
 * @param loaded packages that `require` has loaded
 * @param dependencies of the app; of these, ES modules may be loaded
 */
export function statefulPackages(loaded: ReadonlySet<string>, dependencies: ReadonlySet<string>): readonly string[] {
  const all = [...loaded, ...dependencies]
  return STATEFUL.filter(({ name, unless, esm }) => {
    const isUsed = loaded.has(name) || (esm === true && dependencies.has(name))
    return isUsed && !(unless !== undefined && all.some((other) => other !== name && unless.test(other)))
  }).map(({ name }) => name)
}

function loadedPackages(): ReadonlySet<string> {
  const names = new Set<string>()
  for (const path of Object.keys(createRequire(import.meta.url).cache)) {
    const at = path.lastIndexOf(NODE_MODULES)
    if (at === -1) continue
    const [first = '', second = ''] = path.slice(at + NODE_MODULES.length).split(sep, 2)
    names.add(first.startsWith('@') ? `${first}/${second}` : first)
  }
  return names
}

/** The dependencies in the nearest `package.json` of the entry. */
function dependenciesOf(entry: string): ReadonlySet<string> {
  for (let directory = dirname(entry); ; directory = dirname(directory)) {
    try {
      const { dependencies = {} } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as {
        readonly dependencies?: Readonly<Record<string, string>>
      }
      return new Set(Object.keys(dependencies))
    } catch {
      if (directory === dirname(directory)) return new Set()
    }
  }
}
