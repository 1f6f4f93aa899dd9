/** How many are kept at most; one that is forgotten ends by itself with the time of a load. */
const MOST = 1_000

export interface LostLease {
  readonly key: string
  readonly token: string
}

/**
 * Leases that Redis may have given without our hearing it in time, or that it could not be told we give back. Others who want such a key would wait for a load that
 * nobody does, so Redis is told as soon as it can be; to give back what one does not have has no effect.
 */
export class LostLeases {
  /** Key by token. */
  readonly #keys = new Map<string, string>()

  add({ key, token }: LostLease): void {
    this.#keys.set(token, key)
    if (this.#keys.size <= MOST) return
    const [oldest] = this.#keys.keys()
    if (oldest !== undefined) this.#keys.delete(oldest)
  }

  /** Those there are now, the oldest first. */
  all(): readonly LostLease[] {
    return Array.from(this.#keys, ([token, key]) => ({ token, key }))
  }

  /** Redis was told. */
  remove(leases: readonly LostLease[]): void {
    for (const { token } of leases) this.#keys.delete(token)
  }
}
