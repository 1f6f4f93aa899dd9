import type { EventEmitter } from 'node:events'
import { PunctualError } from '../../errors/punctual-error.ts'
import { capturedOnce } from '../../patches/captured-once.ts'

/**
 * The minor versions of Fastify, first and last, on which late registration was checked. It depends
 * on private fields that any release may change, so other versions are refused. The tests of this
 * folder passed on 5.0.0, 5.3.3, 5.6.2, 5.8.5, 5.10.0, 5.12.0 and 5.12.8.
 */
export const CHECKED_VERSIONS = { first: '5.0', last: '5.12' } as const

/** The part of avvio, which boots Fastify and its plugins, that is used here. */
export interface Avvio extends EventEmitter {
  override(instance: object, plugin: object, options: object): object
  use(plugin: object, options: object): unknown
  ready(): Promise<unknown>
  readonly _opts: { readonly timeout: number }
}

/** Symbols of the private properties of a Fastify instance that are used here. */
export interface Keys {
  readonly state: symbol
  readonly hooks: symbol
  readonly children: symbol
  readonly prefix: symbol
  /** The entry of the 404 router for the prefix of a scope. */
  readonly notFound: symbol
  /** The scope that has this prefix: itself or one of its parents. */
  readonly notFoundLevel: symbol
  readonly canSetNotFound: symbol
}

const DESCRIPTIONS: Readonly<Record<keyof Keys, string>> = {
  state: 'fastify.state',
  hooks: 'fastify.hooks',
  children: 'fastify.children',
  prefix: 'fastify.routePrefix',
  notFound: 'fastify.404ContextKey',
  notFoundLevel: 'fastify.404LogLevelInstance',
  canSetNotFound: 'fastify.canSetNotFoundHandler',
}

export interface Internals {
  readonly avvio: Avvio
  readonly keys: Keys
}

/** @throws PunctualError unless `version` is one of `CHECKED_VERSIONS` */
export function assertCheckedVersion(version: string): void {
  const { first, last } = CHECKED_VERSIONS
  const [major, minor] = numbersOf(version)
  const [firstMajor, firstMinor] = numbersOf(first)
  const [, lastMinor] = numbersOf(last)
  const isRelease = !version.includes('-')
  if (isRelease && major === firstMajor && minor >= firstMinor && minor <= lastMinor) return
  throw new PunctualError(
    'PUNCTUAL_ROUTES_UNSUPPORTED',
    `deferRoutes supports Fastify ${first} to ${last}, got ${version}; register the module with app.register, or use a supported version`,
    { details: { version, checked: CHECKED_VERSIONS } },
  )
}

/**
 * Finds the private parts of a booted instance.
 *
 * @throws PunctualError if one is missing, because Fastify was patched or bundled in an unusual way
 */
export function internalsOf(instance: { readonly version: string }, avvio: Avvio | undefined): Internals {
  const found = Object.entries(DESCRIPTIONS).map(([name, description]) => [name, symbolOf(instance, description)])
  const missing = found.filter(([, symbol]) => symbol === undefined).map(([name]) => DESCRIPTIONS[name as keyof Keys])
  if (avvio === undefined) missing.push('avvio')
  if (avvio !== undefined && missing.length === 0) return { avvio, keys: Object.fromEntries(found) as Keys }
  throw new PunctualError(
    'PUNCTUAL_ROUTES_UNSUPPORTED',
    `deferRoutes cannot add routes to this Fastify ${instance.version} after its boot: it has no ${missing.join(', ')}; register the module with app.register`,
    { details: { version: instance.version, missing } },
  )
}

/** The symbol with this description that the instance has, or inherits. */
export function symbolOf(instance: object, description: string): symbol | undefined {
  for (let owner: object | null = instance; owner !== null; owner = Object.getPrototypeOf(owner)) {
    const found = Object.getOwnPropertySymbols(owner).find((symbol) => symbol.description === description)
    if (found !== undefined) return found
  }
  return undefined
}

/**
 * Calls `job`, in which Fastify listens to the avvio that boots it, and returns that avvio.
 *
 * @returns undefined if Fastify did not listen
 */
export function captureAvvio(job: () => void): Avvio | undefined {
  return capturedOnce('preReady', job).findLast(isAvvio)
}

function isAvvio(value: EventEmitter): value is Avvio {
  const { override, use, ready, _opts } = value as Partial<Avvio>
  return [override, use, ready].every((method) => typeof method === 'function') && typeof _opts?.timeout === 'number'
}

function numbersOf(version: string): readonly [major: number, minor: number] {
  const [major, minor] = version.split('.').map(Number)
  return [major ?? Number.NaN, minor ?? Number.NaN]
}
