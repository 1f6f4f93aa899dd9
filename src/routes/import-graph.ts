/** Who has imported whom, as it is learnt while modules are resolved. Modules are known by their URL. */
export class ImportGraph {
  readonly #importers = new Map<string, Set<string>>()
  /** What was loaded first, without being imported: it may be imported later, in a circle. */
  readonly #first = new Set<string>()

  /** @param importer undefined for a module that nobody imported, such as the entry */
  add(module: string, importer: string | undefined): void {
    const importers = this.#importers.get(module) ?? new Set()
    this.#importers.set(module, importers)
    if (importer !== undefined && importer !== module) importers.add(importer)
    if (importer === undefined && importers.size === 0) this.#first.add(module)
  }

  has(module: string): boolean {
    return this.#importers.has(module)
  }

  /** This module and all that import it, also through others; only such as `among` lets pass. */
  withImporters(module: string, among: (importer: string) => boolean): ReadonlySet<string> {
    const found = new Set([module])
    for (const one of found) {
      for (const importer of this.#importers.get(one) ?? []) if (among(importer)) found.add(importer)
    }
    return found
  }

  /** The way from this module to whoever was loaded first: the module itself, who imported it first, who imported that first, and so on. */
  chain(module: string, most: number): readonly string[] {
    const chain: string[] = []
    let next: string | undefined = module
    while (next !== undefined && chain.length < most && !chain.includes(next)) {
      chain.push(next)
      const [first]: string[] = this.#first.has(next) ? [] : [...(this.#importers.get(next) ?? [])]
      next = first
    }
    return chain
  }
}
