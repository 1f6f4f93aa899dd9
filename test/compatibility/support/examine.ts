import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { Load } from '../../process/life/load.ts'
import { request, wordOf } from '../../process/support/client.ts'
import { freePort } from '../../process/support/free-port.ts'
import type { LogLine } from '../../process/support/log-lines.ts'
import { startServer, type TestServer } from '../../process/support/server.ts'
import { until } from '../../process/support/until.ts'
import type { Backends, Requests, ServerDefinition } from './definition.ts'
import { installServer } from './install.ts'
import { checkByOwnClient, loadByOwnClient } from './own-client.ts'
import { UnderNode } from './under-node.ts'

/** What is asked of each server, in this order. */
export const CHECKS = ['start', 'function', 'reload', 'interrupt', 'stop', 'clean-up', 'silence'] as const
export type Check = (typeof CHECKS)[number]

/** `ok`, `none` if it does not apply, or what went wrong. */
export type CheckResult = 'ok' | 'none' | { readonly fault: string }

export interface Examination {
  readonly name: string
  readonly versions: Readonly<Record<string, string>>
  /** Why it could not be examined: it did not install, or is wrong under plain `node`. */
  readonly unusable?: { readonly where: 'install' | 'node'; readonly why: string }
  readonly checks: Readonly<Partial<Record<Check, CheckResult>>>
  readonly requests: number
  /** All of it. */
  readonly seconds: number
  /** Of which installing and building took this. */
  readonly installSeconds: number
}

const WORKERS = 2
/** For a cold start of a large server, in milliseconds. */
const START_LIMIT = 90_000
/** Requests that a reload takes place under, at least. */
const MIN_REQUESTS = 200
/** Words of a warning; the lines of `node` itself and of apps have no level. */
const ALARMING = /warn|error|deprecat|fail|refus|EADDR|ECONN|exception|unhandled/i

/** Runs one server under `node` and under `punctual run`, and asks the same of both. */
export async function examine(definition: ServerDefinition, backends: Partial<Backends>): Promise<Examination> {
  const begun = performance.now()
  const results: Partial<Record<Check, CheckResult>> = {}
  const seconds = (): number => Math.round((performance.now() - begun) / 100) / 10
  let installSeconds = 0
  const report = (more: Partial<Examination>): Examination => ({
    name: definition.name,
    versions: {},
    checks: results,
    requests: 0,
    seconds: seconds(),
    installSeconds,
    ...more,
  })
  let directory: string
  try {
    directory = await installServer(definition.folder ?? definition.name)
  } catch (error) {
    return report({ unusable: { where: 'install', why: messageOf(error) } })
  }
  installSeconds = seconds()
  const versions = versionsOf(directory, definition.packages)
  const env = { NODE_ENV: 'production', ...definition.env, ...variables(backends) }
  let reference: readonly LogLine[]
  try {
    reference = await runUnderNode(definition, directory, env)
  } catch (error) {
    return report({ versions, unusable: { where: 'node', why: messageOf(error) } })
  }
  const requests = await runUnderPunctual(definition, directory, env, reference, results)
  return report({ versions, requests })
}

/** The lines that it prints; throws if something is wrong there. */
async function runUnderNode(
  definition: ServerDefinition,
  directory: string,
  env: Record<string, string>,
): Promise<readonly LogLine[]> {
  const port = await freePort()
  const flags = [
    ...(definition.imports ?? []).flatMap((module) => ['--import', module]),
    ...(definition.requires ?? []).flatMap((module) => ['-r', module]),
  ]
  const args = [...flags, definition.entry ?? 'app.mjs', ...(definition.args?.(port) ?? [])]
  await using app = new UnderNode(directory, args, { ...env, PORT: String(port), HOST: '127.0.0.1' })
  try {
    const url = `http://127.0.0.1:${port}`
    await until(
      'it to serve',
      async () => {
        if (app.hasExited) return true
        return definition.ownLoad === true || (await answers(`${url}${definition.path ?? '/'}`))
      },
      START_LIMIT,
    )
    if (app.hasExited) throw new Error('it exited')
    await (definition.ownLoad === true
      ? until('client.mjs to succeed', () => checkByOwnClient(directory, url, env).then(() => true), START_LIMIT)
      : checkByOwnClient(directory, url, env))
    await app.stop()
    const { cleanUp = 'clean-up done' } = definition
    if (cleanUp !== false && !app.output.includes(cleanUp)) throw new Error(`its clean-up did not print "${cleanUp}"`)
  } catch (error) {
    throw new Error(`${messageOf(error)}; output:\n${app.output.slice(-2_000)}`, { cause: error })
  }
  return app.lines
}

/** Fills in the results; returns the number of requests of the reload. */
async function runUnderPunctual(
  definition: ServerDefinition,
  directory: string,
  env: Record<string, string>,
  reference: readonly LogLine[],
  results: Partial<Record<Check, CheckResult>>,
): Promise<number> {
  const port = await freePort()
  let total = 0
  let server: TestServer
  const asked = async (check: Check, work: () => Promise<void>): Promise<void> => {
    try {
      await work()
      results[check] = 'ok'
    } catch (error) {
      results[check] = { fault: messageOf(error) }
    }
  }
  try {
    server = await startServer({
      cwd: directory,
      entry: definition.entry ?? 'app.mjs',
      port,
      env,
      nodeFlags: (definition.requires ?? []).flatMap((module) => ['-r', module]),
      settings: { workers: WORKERS, ...definition.settings },
      flags: [
        ...(definition.imports ?? []).flatMap((module) => ['--import', module]),
        '--',
        ...(definition.args?.(port) ?? []),
      ],
      readyLimit: START_LIMIT,
    })
  } catch (error) {
    const lines = messageOf(error).split('\n')
    const telling = lines.filter((line) => !/^\{"level":"info"/.test(line))
    results.start = { fault: telling.slice(0, 12).join('\n') }
    return 0
  }
  await using _ = server
  const workers = (await server.status()).wanted
  const { url } = server
  const path = definition.path ?? '/'
  results.start = 'ok'

  await asked('silence', async () => {
    const incidents = (await server.incidents()).map(({ kind, summary }) => `incident ${kind}: ${summary}`)
    const alarms = [...incidents, ...alarmsOf(server, definition, reference)]
    if (alarms.length > 0) throw new Error(alarms.join('\n'))
  })
  await asked('function', async () => {
    if (definition.ownLoad !== true) await expectAnswer(`${url}${path}`)
    await checkByOwnClient(directory, url, env)
  })
  // Before anything is done to the server on purpose. A slow machine may stall the first request.
  if (results.silence === 'ok') {
    await asked('silence', async () => {
      const alarms = alarmsOf(server, { ...definition, warns: [...(definition.warns ?? []), 'incident'] }, reference)
      if (alarms.length > 0) throw new Error(alarms.join('\n'))
    })
  }
  await asked('reload', async () => {
    const load: Requests =
      definition.ownLoad === true ? loadByOwnClient(directory, url, env) : loadByHttp(`${url}${path}`)
    const { code, stderr } = await server.command('reload')
    await load.enough?.()
    const result = await load.stop()
    total = result.total
    if (code !== 0) throw new Error(`reload exited with ${code}: ${stderr}`)
    if (result.failed.length > 0) throw new Error(`${result.failed.length} of ${total} failed: ${result.failed[0]}`)
    if (total === 0) throw new Error('no request was sent')
    await checkByOwnClient(directory, url, env)
  })
  const { spin = '/spin' } = definition
  if (spin === false) results.interrupt = 'none'
  else await asked('interrupt', () => checkInterrupt(server, `${url}${spin}`, definition.ownLoad ? null : url + path))

  const { cleanUp = 'clean-up done' } = definition
  const before = count(server.output, cleanUp || '-')
  await asked('stop', async () => {
    const { code, signal } = await server.stop(START_LIMIT)
    if (code !== 0) throw new Error(`exited with ${signal ?? code}`)
    // On a slow machine there are stalls; one that ended by itself says nothing of the server.
    const incidents = (await server.incidents()).filter(({ kind, outcome }) => kind !== 'stall' && outcome !== 'ended')
    if (incidents.length > 0) throw new Error(incidents.map(({ kind, summary }) => `${kind}: ${summary}`).join('\n'))
  })
  if (cleanUp === false) results['clean-up'] = 'none'
  else
    await asked('clean-up', async () => {
      const times = count(server.output, cleanUp) - before
      if (times !== workers) throw new Error(`ran in ${times} of ${workers} workers`)
    })
  return total
}

/** The request that blocks is the only one that suffers; its worker is replaced, not killed. */
async function checkInterrupt(server: TestServer, spin: string, other: string | null): Promise<void> {
  for (const [name, value] of [
    ['stallReportAfter', '300ms'],
    ['stallInterruptAfter', '1s'],
  ] as const) {
    const { code, stderr } = await server.command('set', name, value)
    if (code !== 0) throw new Error(`punctual set: ${stderr}`)
  }
  const outcome = await request(spin)
  if (wordOf(outcome) !== '503') throw new Error(`the request that blocks got ${wordOf(outcome)}, expected 503`)
  await server.incident('the interrupt', ({ kind, outcome }) => kind === 'stall' && outcome === 'interrupted')
  // On a slow machine the short thresholds would hit other requests, and the replacement, too.
  for (const name of ['stallInterruptAfter', 'stallReportAfter']) await server.command('unset', name)
  await server.until(
    'the interrupted worker to be replaced',
    // It is tainted until it exits.
    ({ wanted, workers }) =>
      workers.length === wanted && workers.every(({ state, tainted }) => state === 'ready' && !tainted),
  )
  if (other !== null) for (let i = 0; i < 10; i++) await expectAnswer(other)
}

/** What it printed that is alarming and that `node` did not print. */
function alarmsOf(server: TestServer, definition: ServerDefinition, reference: readonly LogLine[]): readonly string[] {
  const known = new Set(reference.map(({ msg }) => shapeOf(msg)))
  return server.lines
    .filter(({ level, event, msg }) => {
      // The client asks for errors on purpose.
      if (event === 'request') return false
      if (event !== undefined) return ['warn', 'error', 'fatal'].includes(level) && !definition.warns?.includes(event)
      return ALARMING.test(msg) && !known.has(shapeOf(msg))
    })
    .map(({ event, msg }) => `${event === undefined ? '' : `${event}: `}${msg}`)
}

/** Without what differs from process to process. */
function shapeOf(line: string): string {
  return stripVTControlCharacters(line)
    .replace(/\b[0-9a-f-]{8,}\b/g, '#')
    .replace(/\d+/g, '#')
    .trim()
}

/** Four clients that keep their connections, and two that do not. */
function loadByHttp(url: string): Requests {
  const rest = (): number => 5 + Math.random() * 10
  const loads = [new Load(url, 4, true, rest), new Load(url, 2, false, rest)]
  const total = (): number => loads.reduce((sum, load) => sum + load.total, 0)
  return {
    enough: () => until('enough requests', () => total() >= MIN_REQUESTS).then(() => {}),
    stop: async () => {
      const results = await Promise.all(loads.map((load) => load.stop()))
      return { total: total(), failed: results.flatMap(({ faults }) => faults) }
    },
  }
}

async function answers(url: string): Promise<boolean> {
  return wordOf(await request(url, { limit: 10_000 })) === '200'
}

async function expectAnswer(url: string): Promise<void> {
  const outcome = await request(url)
  if (wordOf(outcome) !== '200')
    throw new Error(`${url} got ${wordOf(outcome)} ${outcome.why} ${outcome.body.slice(0, 300)}`)
}

function variables(backends: Partial<Backends>): Record<string, string> {
  return {
    ...(backends.postgres === undefined ? {} : { DATABASE_URL: backends.postgres }),
    ...(backends.redis === undefined ? {} : { REDIS_URL: backends.redis }),
  }
}

function versionsOf(directory: string, packages: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    packages.map((name) => {
      const file = join(directory, 'node_modules', name, 'package.json')
      return [name, String(JSON.parse(readFileSync(file, 'utf8')).version)]
    }),
  )
}

function count(text: string, part: string): number {
  return text.split(part).length - 1
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
