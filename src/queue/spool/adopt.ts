import { join } from 'node:path'
import type { Adopted, AdoptLimits } from './adopted.ts'
import { Adoption } from './adoption.ts'
import { adoptedBy, removeIfEmpty, takeOver } from './owner-directories.ts'

export type { Adopted, AdoptLimits, Leftover } from './adopted.ts'
export { listOwners } from './owner-directories.ts'

/** Directories that adoptions of this process have in hand. */
const inHand = new Set<string>()

/**
 * Takes over what an owner has left, its own and what it had adopted. It is one rename: of several who try, one succeeds, and whatever dies in the middle of it the files
 * are below one owner or the other. With `owner` the same as `by`: what is below it and not in hand, such as what an earlier spool of this process has left.
 *
 * Null: somebody else was first, there is nothing, or the owner is of another machine and has shown a sign of life within 15 seconds. Never throws.
 *
 * @param by whoever takes it over and is answerable for it from now on: `thisOwner()`
 */
export function adopt(
  directory: string,
  queue: string,
  owner: string,
  by: string,
  limits: AdoptLimits = {},
): Adopted | null {
  const taken =
    owner === by
      ? adoptedBy(directory, queue, by).filter((path) => !inHand.has(path))
      : takeOver(directory, queue, owner, by)
  if (taken.length === 0) {
    removeIfEmpty(join(directory, queue, by))
    return null
  }
  return new Adoption({ directory, queue, directories: taken, inHand, limits })
}
