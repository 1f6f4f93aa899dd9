import { closeSync, constants, fstatSync, ftruncateSync, openSync } from 'node:fs'
import { basename } from 'node:path'
import type { Damage } from './adopted.ts'
import { diskFault } from './disk-fault.ts'
import { Segment } from './segment.ts'
import { REOPEN } from './segment-files.ts'
import { type ReadSteps, type SegmentScan, scanSegment } from './segment-scan.ts'
import { damagedName, setFileAside, setRestAside } from './set-aside.ts'

export interface AdoptedFile {
  readonly path: string
  /** Whose it was. */
  readonly owner: string
  /** Its number in the adoption. */
  readonly number: number
  /** `asideDirectory` of the queue. */
  readonly aside: string
}

export type Opened =
  | {
      readonly found: 'items'
      readonly segment: Segment
      readonly scan: SegmentScan
      /** What stands behind the whole records could not be set aside, so the file itself must be, in the end. */
      readonly spoilt: boolean
    }
  /** The file is of no use any more. */
  | { readonly found: 'nothing' }
  /** It is somewhere else now, or was removed. */
  | { readonly found: 'gone' }
  /** It can be neither read nor moved, and stays where it is. */
  | { readonly found: 'unreadable' }

/** Opens a segment that somebody has left: what its writer did not finish is cut, what is damaged is set aside and told. */
export function* openAdopted(file: AdoptedFile, tell: (damage: Damage) => void): ReadSteps<Opened> {
  const { path, number } = file
  let fd: number
  let size: number
  try {
    fd = openAtAll(path)
    size = fstatSync(fd).size
  } catch (error) {
    const { kind, why } = diskFault(error, path)
    const isGone = kind === 'ENOENT'
    const message = isGone ? why : `${why}; it is left there`
    tell({ path, problem: isGone ? 'missing' : 'unreadable', movedTo: null, message })
    return { found: isGone ? 'gone' : 'unreadable' }
  }
  const scan = yield* scanSegment(fd, size)
  const { end, rest, items } = scan
  if (rest === 'unfinished' || typeof rest === 'object' || (rest === 'damage' && end === 0)) {
    closeSync(fd)
    if (rest === 'unfinished') return { found: 'nothing' }
    return { found: moveAside(file, rest, tell) ? 'gone' : 'unreadable' }
  }
  let spoilt = false
  if (rest !== 'nothing') {
    if (rest === 'damage') spoilt = !copyAside(file, fd, end, size, items.length, tell)
    try {
      if (!spoilt) ftruncateSync(fd, end)
    } catch {
      // It is found again by whoever adopts the file next; nothing is written behind it until then.
      spoilt = true
    }
  }
  const segment = new Segment(number, path, fd, end, scan.settled)
  segment.count = items.length
  for (let index = 0; index < items.length; index++) if (!scan.settled.has(index)) segment.live++
  return { found: 'items', segment, scan, spoilt }
}

/** What may not be written can still be read. */
function openAtAll(path: string): number {
  try {
    return openSync(path, REOPEN)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw error
    return openSync(path, constants.O_RDONLY)
  }
}

function moveAside(
  { path, owner, aside }: AdoptedFile,
  rest: 'damage' | { readonly version: number },
  tell: (damage: Damage) => void,
): boolean {
  const what = rest === 'damage' ? 'damaged from its start on' : `written in version ${rest.version} of the format`
  const problem = rest === 'damage' ? 'damaged' : 'other-version'
  const name = rest === 'damage' ? damagedName(owner, basename(path)) : `${owner}-${basename(path)}`
  try {
    const movedTo = setFileAside(aside, path, name)
    tell({ path, problem, movedTo, message: `${path} is ${what}; it is now ${movedTo}` })
    return true
  } catch (error) {
    const message = `${path} is ${what}; it is left there: ${diskFault(error, aside).why}`
    tell({ path, problem, movedTo: null, message })
    return false
  }
}

function copyAside(
  { path, owner, aside }: AdoptedFile,
  fd: number,
  from: number,
  size: number,
  items: number,
  tell: (damage: Damage) => void,
): boolean {
  const what = `${path} is damaged ${from} bytes from its start, behind ${items} whole items`
  try {
    const movedTo = setRestAside(aside, fd, from, size, damagedName(owner, basename(path)))
    const message = `${what}; the ${size - from} bytes from there on are now ${movedTo}`
    tell({ path, problem: 'damaged-tail', movedTo, message })
    return true
  } catch (error) {
    const message = `${what}; the rest is left there: ${diskFault(error, aside).why}`
    tell({ path, problem: 'damaged-tail', movedTo: null, message })
    return false
  }
}
