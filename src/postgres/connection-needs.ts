/** What an app may come to need of a server, and what that has. */
export interface ConnectionNeeds {
  readonly workers: number
  /** Those of one worker that go to this server. */
  readonly pools: readonly { readonly name: string; readonly max: number }[]
  /** `max_connections`. */
  readonly most: number
  /** Of these, for superusers and the like. */
  readonly reserved: number
  /** Two generations run at once while Punctual reloads. */
  readonly reloads: boolean
}

/** A server has too few connections for all workers. */
export interface ConnectionShortage extends ConnectionNeeds {
  /** Of one worker. */
  readonly each: number
  /** Of all workers. */
  readonly needed: number
  /** While a reload runs two generations, where there are reloads. */
  readonly peak: number
  /** What the server has for them. */
  readonly available: number
  /** Of one worker's pools together, so that all have enough; 0 when there are too many workers for any. */
  readonly enough: number
}

/** The arithmetic, where the server has not enough for all workers; null where it has. */
export function connectionShortage(needs: ConnectionNeeds): ConnectionShortage | null {
  const { workers, pools, most, reserved, reloads } = needs
  const each = pools.reduce((sum, { max }) => sum + max, 0)
  const needed = workers * each
  const peak = reloads ? 2 * needed : needed
  const available = most - reserved
  if (peak <= available) return null
  return { ...needs, each, needed, peak, available, enough: Math.floor(available / (peak / each)) }
}

/** The same as a sentence. */
export function tellShortage(shortage: ConnectionShortage): string {
  const { workers, pools, most, reserved, reloads, each, needed, peak, available, enough } = shortage
  const parts = pools.map(({ name, max }) => `${name} ${max}`).join(', ')
  const sum = `${workers} ${workers === 1 ? 'worker' : 'workers'} × ${each} connections (${parts}) = ${needed}`
  const reload = reloads ? `, and ${peak} while a reload runs two generations` : ''
  const less = enough > 0 ? `lower \`max\` to ${enough} in all` : 'run fewer workers'
  return `${sum}${reload}; the server has ${available} for them (max_connections ${most}, ${reserved} of it reserved): ${less}, raise max_connections, or put a bouncer in between`
}
