import type { Exchange } from './exchange.ts'

/** What a room that defers work says of itself once it has a queue, and what it is told. */
interface Owner {
  readonly type: 'owner'
  readonly owner: string
}

/**
 * Sees to it that the deferred work of a worker that is gone is taken up at once by one that lives: it is told to look for what is left.
 * The newest, as that is the least likely to be leaving. With none alive nothing is lost: whoever starts looks by itself.
 */
export function appointHeirs(exchange: Exchange): void {
  const owners = new Map<number, string>()
  exchange.listen('defer', (worker, message) => owners.set(worker, (message as Owner).owner))
  exchange.onLeft((worker) => {
    const owner = owners.get(worker)
    owners.delete(worker)
    const heir = Math.max(...owners.keys())
    if (owner !== undefined && owners.size > 0) exchange.say(heir, 'defer', { type: 'adopt', owner })
  })
}
