import { symbolOf } from './fastify-boot.ts'

/** What Fastify keeps on an instance under symbols of its own, as far as it is used here. */
export interface Keys {
  readonly state: symbol
  readonly hooks: symbol
  readonly children: symbol
  readonly prefix: symbol
  /** What its 404 router has for the prefix of a scope. */
  readonly notFound: symbol
  /** The scope that has this prefix: itself, or one around it. */
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

/** @returns undefined on a Fastify that lacks one */
export function keysOf(instance: object): Keys | undefined {
  const found = Object.entries(DESCRIPTIONS).map(([name, description]) => [name, symbolOf(instance, description)])
  return found.every(([, symbol]) => symbol !== undefined) ? (Object.fromEntries(found) as Keys) : undefined
}
