/** A value that an app has declared by name, as one worker has it. */
export interface DeclaredValue {
  readonly value: string
  /** Where nobody has set anything. */
  readonly standard: string
}

/** Which workers have declared which values of their app. */
export class DeclaredValues {
  readonly #byName = new Map<string, Map<number, DeclaredValue>>()

  declare(worker: number, name: string, declared: DeclaredValue): void {
    const workers = this.#byName.get(name) ?? new Map()
    this.#byName.set(name, workers.set(worker, declared))
  }

  withdraw(worker: number, name: string): void {
    const workers = this.#byName.get(name)
    workers?.delete(worker)
    if (workers?.size === 0) this.#byName.delete(name)
  }

  left(worker: number): void {
    for (const name of [...this.#byName.keys()]) this.withdraw(worker, name)
  }

  /** In alphabetical order. */
  names(): string[] {
    return [...this.#byName.keys()].sort()
  }

  /** By worker. Empty for a name that nobody has. */
  of(name: string): ReadonlyMap<number, DeclaredValue> {
    return this.#byName.get(name) ?? new Map()
  }
}
