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
/** By the id of a gate: how many handlers it has on the path that has most of them. */
const mostHandlers = new Map<string, number>()
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

  /** Of the paths with routes of this gate, the one with most of them has so many; 0 while there is none. */
  get mostHandlers(): number {
    return mostHandlers.get(this.id) ?? 0
  }
}

export function gateStrategy(): ConstraintStrategy {
  return {
    name: GATE,
    // For each node of the router; the numbers are bit masks of its handlers.
    storage: () => {
      const handlers = new Map<string, number>()
      return {
        set: (gate, mask) => {
          handlers.set(gate, mask)
          mostHandlers.set(gate, Math.max(mostHandlers.get(gate) ?? 0, bitsOf(mask)))
        },
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

function bitsOf(mask: number): number {
  let bits = 0
  for (let rest = mask; rest !== 0; rest &= rest - 1) bits++
  return bits
}
