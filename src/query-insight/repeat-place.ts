import { readFile, stat } from 'node:fs/promises'
import { findSourceMap } from 'node:module'
import { fileURLToPath } from 'node:url'
import { SourcePositions } from '../diagnostics/source-positions.ts'
import { shortPath } from '../diagnostics/telling-frame.ts'
import type { AppFrame } from './call-stack.ts'
import { isInLoop } from './in-loop.ts'
import { RecentMap } from './recent-map.ts'

/** Where a query is repeated, as a person reads it. */
export interface RepeatPlace {
  /** `src/referrals/list.ts:31`, relative to the working directory: the loop, as far as that can be found. */
  readonly place: string
  /** Where the query itself is asked for, if that is elsewhere: `loadTests (src/tests.ts:12)`. */
  readonly via: string | null
}

/** Frames in which a loop is looked for. */
const MOST_FRAMES = 8
const LARGEST_SOURCE = 2 * 1024 * 1024
/** What is known of a caller is kept: an app has few places that repeat queries. */
const MOST_PLACES = 500

const places = new RecentMap<string, Promise<RepeatPlace>>(MOST_PLACES)
const positions = new SourcePositions()

/**
 * Leads a stack back to the line to mend. All runs have the same frames; the one that loops is the innermost whose line stands in a loop in its source. Where no
 * source tells, it is the one that called `map` or the like, else the innermost of the app. Never rejects.
 */
export function repeatPlace(caller: string, frames: readonly AppFrame[]): Promise<RepeatPlace> {
  const known = places.get(caller)
  if (known !== undefined) return known
  const found = findPlace(frames.slice(0, MOST_FRAMES)).catch(() => tell(frames[0], frames[0]))
  places.set(caller, found)
  return found
}

async function findPlace(frames: readonly AppFrame[]): Promise<RepeatPlace> {
  const written: AppFrame[] = []
  for (const frame of frames) written.push(await mapFrame(frame))
  for (const frame of written) if (await loops(frame)) return tell(frame, written[0])
  const each = written.findIndex(({ calledForEach }) => calledForEach)
  const caller = written[each + 1]
  // A function that is written where it is handed over is in the same file; one that was only named is not to be told apart from that here.
  return tell(each === -1 ? written[0] : caller?.file === written[each]?.file ? written[each] : caller, written[0])
}

async function mapFrame(frame: AppFrame): Promise<AppFrame> {
  // What a loader has compiled in memory only Node can map, and only if it was told to keep the maps.
  const map = findSourceMap(frame.file)
  const origin = map?.findOrigin(frame.line, frame.column)
  if (origin !== undefined && 'fileName' in origin) {
    const { fileName, lineNumber, columnNumber } = origin
    const file = fileName.startsWith('file:') ? fileURLToPath(fileName) : fileName
    return { ...frame, file, line: lineNumber, column: columnNumber }
  }
  const [mapped] = await positions.map([frame])
  return { ...frame, ...(mapped === undefined ? {} : { file: mapped.file, line: mapped.line, column: mapped.column }) }
}

async function loops({ file, line, column }: AppFrame): Promise<boolean> {
  try {
    const { size } = await stat(file)
    if (size > LARGEST_SOURCE) return false
    return isInLoop(await readFile(file, 'utf8'), line, column)
  } catch {
    return false
  }
}

function tell(frame: AppFrame | undefined, innermost: AppFrame | undefined): RepeatPlace {
  if (frame === undefined) return { place: 'an unknown place', via: null }
  const place = shortLine(frame)
  const asked = innermost === undefined ? place : shortLine(innermost)
  const name = innermost === undefined || innermost.function === '' ? '' : innermost.function
  return { place, via: asked === place ? null : name === '' ? asked : `${name} (${asked})` }
}

function shortLine({ file, line }: AppFrame): string {
  return `${shortPath(file, process.cwd())}:${line}`
}
