/**
 * Which module imported which, learned while modules are resolved. Modules are identified by URL.
 */
export class ImportGraph {
  readonly #importers = new Map<string, Set<string>>()
  /**
   * Modules that were first loaded without being imported; they may be imported later, in a cycle.
   */
  readonly #first = new Set<string>()

  /** @param importer undefined for a module that is not imported, such as the entry */
  add(module: string, importer: string | undefined): void {
    const importers = this.#importers.get(module) ?? new Set()
    this.#importers.set(module, importers)
    if (importer !== undefined && importer !== module) importers.add(importer)
    if (importer === undefined && importers.size === 0) this.#first.add(module)
  }

  has(module: string): boolean {
    return this.#importers.has(module)
  }

  /** The module and all that import it, directly or not, for which `accepts` is true. */
  withImporters(module: string, accepts: (importer: string) => boolean): ReadonlySet<string> {
    const found = new Set([module])
    for (const one of found) {
      for (const importer of this.#importers.get(one) ?? []) if (accepts(importer)) found.add(importer)
    }
    return found
  }

  /** The module, its first importer, the first importer of that, and so on, up to the entry. */
  chain(module: string, maxLength: number): readonly string[] {
    const chain: string[] = []
    let next: string | undefined = module
    while (next !== undefined && chain.length < maxLength && !chain.includes(next)) {
      chain.push(next)
      const [first]: string[] = this.#first.has(next) ? [] : [...(this.#importers.get(next) ?? [])]
      next = first
    }
    return chain
  }
}
