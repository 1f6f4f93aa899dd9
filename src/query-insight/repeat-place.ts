import { readFile, stat } from 'node:fs/promises'
import { findSourceMap } from 'node:module'
import { fileURLToPath } from 'node:url'
import { SourceMapper } from '../diagnostics/source-mapper.ts'
import { shortPath } from '../diagnostics/stack-frames.ts'
import type { AppFrame } from './call-stack.ts'
import { isInLoop } from './in-loop.ts'
import { RecentMap } from './recent-map.ts'

/** The place that repeats a query, formatted for people. */
export interface RepeatPlace {
  /** `src/referrals/list.ts:31`, relative to the working directory: the loop, if it was found. */
  readonly place: string
  /** The place of the query itself, if it is another: `loadTests (src/tests.ts:12)`. */
  readonly via: string | null
}

/** The frames that are searched for a loop. */
const MAX_FRAMES = 8
const MAX_SOURCE = 2 * 1024 * 1024
/** The most callers whose place is kept; an app has few that repeat queries. */
const MAX_PLACES = 500

const places = new RecentMap<string, Promise<RepeatPlace>>(MAX_PLACES)
const positions = new SourceMapper()

/**
 * Finds the line to change from a call stack: the innermost frame whose line is in a loop in its
 * source. Without such a source it is the frame that called `map` or a similar method, else the
 * innermost frame. Never rejects.
 */
export function repeatPlace(caller: string, frames: readonly AppFrame[]): Promise<RepeatPlace> {
  const known = places.get(caller)
  if (known !== undefined) return known
  const found = findPlace(frames.slice(0, MAX_FRAMES)).catch(() => formatPlace(frames[0], frames[0]))
  places.set(caller, found)
  return found
}

async function findPlace(frames: readonly AppFrame[]): Promise<RepeatPlace> {
  const mapped: AppFrame[] = []
  for (const frame of frames) mapped.push(await mapFrame(frame))
  for (const frame of mapped) if (await loops(frame)) return formatPlace(frame, mapped[0])
  const each = mapped.findIndex(({ calledForEach }) => calledForEach)
  const caller = mapped[each + 1]
  // A callback in the same file as its caller is probably written in the call; else the call is the
  // place.
  const place = caller?.file === mapped[each]?.file ? mapped[each] : caller
  return formatPlace(each === -1 ? mapped[0] : place, mapped[0])
}

async function mapFrame(frame: AppFrame): Promise<AppFrame> {
  // Only Node can map code that a loader compiled in memory, and only with `--enable-source-maps`.
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
    if (size > MAX_SOURCE) return false
    return isInLoop(await readFile(file, 'utf8'), line, column)
  } catch {
    return false
  }
}

function formatPlace(frame: AppFrame | undefined, innermost: AppFrame | undefined): RepeatPlace {
  if (frame === undefined) return { place: 'an unknown place', via: null }
  const place = formatLine(frame)
  const query = innermost === undefined ? place : formatLine(innermost)
  const name = innermost === undefined || innermost.function === '' ? '' : innermost.function
  return { place, via: query === place ? null : name === '' ? query : `${name} (${query})` }
}

function formatLine({ file, line }: AppFrame): string {
  return `${shortPath(file, process.cwd())}:${line}`
}
