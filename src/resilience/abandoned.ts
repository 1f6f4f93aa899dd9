/**
 * Work that goes on although nobody awaits it any more: its wait expired or was given up, and it did not heed its signal. It still
 * occupies a connection, a thread or a query somewhere, so it is counted, by the name of its wait, until it ends.
 */
const zombies = new Map<string, number>()
let total = 0

/** How much abandoned work goes on in this process, by name of the wait; names without any are absent. */
export function abandonedOperations(): ReadonlyMap<string, number> {
  return new Map(zombies)
}

/** How much of it there is in all. */
export function zombieCount(): number {
  return total
}

export function addAbandoned(name: string): void {
  total++
  zombies.set(name, (zombies.get(name) ?? 0) + 1)
}

export function removeAbandoned(name: string): void {
  total--
  const left = (zombies.get(name) ?? 0) - 1
  if (left > 0) zombies.set(name, left)
  else zombies.delete(name)
}
