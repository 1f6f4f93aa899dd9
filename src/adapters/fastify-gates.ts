/** What is used of a constraint strategy as find-my-way, the router of Fastify, has it. */
export interface ConstraintStrategy {
  readonly name: string
  storage(): { get(value: string): number | undefined; set(value: string, handlers: number): void }
  deriveConstraint(): string
}

/** The name of the strategy, and of the constraint on every route that has a gate. */
export const GATE = 'punctualGate'
const EVERY_REQUEST = 'any'

/**
 * Routes of Fastify cannot be taken away, but they can have constraints. A route with a gate answers only while its gate is open: those of a deferred
 * module from the moment in which all of it is mounted (an attempt that failed midway leaves routes without hooks behind), those that stand in for it
 * up to that moment.
 */
const open = new Set<string>()
let gates = 0

export class Gate {
  /** The value of the constraint. */
  readonly id: string = `gate-${++gates}`

  open(): void {
    open.add(this.id)
  }

  close(): void {
    open.delete(this.id)
  }
}

export function gateStrategy(): ConstraintStrategy {
  return {
    name: GATE,
    // For each node of the router; the numbers are bit masks of its handlers.
    storage: () => {
      const handlers = new Map<string, number>()
      return {
        set: (gate, mask) => handlers.set(gate, mask),
        get: (gate) => {
          if (gate !== EVERY_REQUEST) return handlers.get(gate)
          let passing = 0
          for (const [id, mask] of handlers) if (open.has(id)) passing |= mask
          return passing
        },
      }
    },
    deriveConstraint: () => EVERY_REQUEST,
  }
}
