/** The part of a constraint strategy of find-my-way, Fastify's router, that is used here. */
export interface ConstraintStrategy {
  readonly name: string
  storage(): { get(value: string): number | undefined; set(value: string, handlers: number): void }
  deriveConstraint(): string
}

/** Name of the strategy, and of the constraint on every route that has a gate. */
export const GATE = 'punctualGate'
const EVERY_REQUEST = 'any'

/** Ids of the gates that are open. */
const openGates = new Set<string>()
/** Largest number of handlers on one path, by gate id. */
const maxHandlers = new Map<string, number>()
let gates = 0

/**
 * Fastify cannot remove a route, but a route can have a constraint. One with a gate answers only
 * while its gate is open: the routes of a deferred module from the moment in which it is mounted
 * completely (an attempt that failed midway leaves routes without hooks behind), its placeholder up
 * to that moment.
 */
export class Gate {
  /** The value of the constraint. */
  readonly id: string = `gate-${++gates}`

  open(): void {
    openGates.add(this.id)
  }

  close(): void {
    openGates.delete(this.id)
  }

  /** The number of this gate's handlers on the path that has most of them. */
  get maxHandlers(): number {
    return maxHandlers.get(this.id) ?? 0
  }
}

export function gateStrategy(): ConstraintStrategy {
  return {
    name: GATE,
    // One per node of the router; the numbers are bit masks of its handlers.
    storage: () => {
      const handlers = new Map<string, number>()
      return {
        set: (gate, mask) => {
          handlers.set(gate, mask)
          maxHandlers.set(gate, Math.max(maxHandlers.get(gate) ?? 0, bitsOf(mask)))
        },
        get: (gate) => {
          if (gate !== EVERY_REQUEST) return handlers.get(gate)
          let passing = 0
          for (const [id, mask] of handlers) if (openGates.has(id)) passing |= mask
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
