import type { CacheCounts } from '../diagnostics/modules/cache-report.ts'

/** What a cache counts, from 0. */
export type RunningCounts = { -readonly [Name in keyof CacheCounts]: number }

export function newCounts(): RunningCounts {
  return {
    hitsMemory: 0,
    hitsRedis: 0,
    misses: 0,
    stale: 0,
    degraded: 0,
    loads: 0,
    loadErrors: 0,
    loadsAbandoned: 0,
    coalesced: 0,
    backedOff: 0,
    refreshes: 0,
    peerWaits: 0,
    invalidations: 0,
    undecodable: 0,
    storesRefused: 0,
  }
}
