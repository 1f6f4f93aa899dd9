/**
 * Which requests are never held up and never shed: those below some paths, such as what a load
 * balancer asks whether we are alive.
 */
export class PriorityRoutes {
  readonly #prefixes: readonly string[]

  /**
   * @param prefixes paths: `/health` stands for itself, `/health/…` and `/health?…`, not for
   * `/healthcare`
   */
  constructor(prefixes: readonly string[]) {
    this.#prefixes = prefixes
  }

  /** @param target as it stands in the request line or in `:path` */
  includes(target: string): boolean {
    for (const prefix of this.#prefixes) {
      if (!target.startsWith(prefix)) continue
      if (target.length === prefix.length || prefix.endsWith('/')) return true
      const next = target[prefix.length]
      if (next === '/' || next === '?') return true
    }
    return false
  }
}
