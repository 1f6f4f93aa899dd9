import type { State } from './state.ts'

/**
 * A limit spread downwards by up to `recycleJitter` of itself, so that workers which were started together do not reach it together.
 * The generator is Mulberry32 (Tommy Ettinger, public domain), kept in the state so that a decision can be replayed.
 */
export function jittered(state: State, limit: number): number {
  if (!Number.isFinite(limit)) return limit
  return limit * (1 - state.settings.recycleJitter * draw(state))
}

function draw(state: State): number {
  state.random = (state.random + 0x6d2b79f5) | 0
  let t = Math.imul(state.random ^ (state.random >>> 15), 1 | state.random)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}
