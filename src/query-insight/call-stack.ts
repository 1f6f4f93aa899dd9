import { isAppCode, localPath } from '../diagnostics/telling-frame.ts'

/** Frames that are noted: those of a query builder, and the app's own below them. */
const FRAMES = 60
/** Frames of the app that tell one caller from another. */
const MOST_FRAMES = 10
/** Methods that call a function for each of many. */
const FOR_EACH = new Set('map forEach flatMap filter reduce reduceRight some every find findIndex from'.split(' '))

/** A frame of the app's own. Positions count from 1. */
export interface AppFrame {
  readonly file: string
  readonly line: number
  readonly column: number
  /** Empty where it has no name. */
  readonly function: string
  /** It was called by `map`, `forEach` or the like. */
  readonly calledForEach: boolean
}

/**
 * Where a query was asked for. V8 notes the frames when this is made, asynchronous callers among them, for some 5 to 10 µs, and works them out when
 * they are first looked at.
 */
export class CallStack {
  readonly #holder: { readonly stack?: unknown } = {}
  #frames: readonly AppFrame[] | null = null
  #caller: string | null = null

  /** Which run of its query it is, from 1. */
  readonly run: number

  constructor(run: number) {
    this.run = run
    const before = Error.stackTraceLimit
    try {
      Error.stackTraceLimit = FRAMES
      Error.captureStackTrace(this.#holder, CallStack)
    } finally {
      Error.stackTraceLimit = before
    }
  }

  /** The app's own, the innermost first. */
  get frames(): readonly AppFrame[] {
    this.#frames ??= appFrames(callSitesOf(this.#holder))
    return this.#frames
  }

  /**
   * The same for queries that were asked for in the same place by the same callers; empty where no frame is the app's. Lines only: of a caller that waits,
   * V8 gives the column of its `await`, of one that is still calling, that of the call.
   */
  get caller(): string {
    this.#caller ??= this.frames.map(({ file, line }) => `${file}:${line}`).join(' ')
    return this.#caller
  }
}

/** An app that formats stacks in its own way is not asked to, and keeps its way. */
function callSitesOf(holder: { readonly stack?: unknown }): readonly NodeJS.CallSite[] {
  const before = Error.prepareStackTrace
  try {
    Error.prepareStackTrace = (_, sites) => sites
    const { stack } = holder
    return Array.isArray(stack) ? stack : []
  } finally {
    if (before === undefined) delete (Error as { prepareStackTrace?: unknown }).prepareStackTrace
    else Error.prepareStackTrace = before
  }
}

function appFrames(sites: readonly NodeJS.CallSite[]): readonly AppFrame[] {
  const frames: AppFrame[] = []
  for (const [index, site] of sites.entries()) {
    const file = localPath(site.getFileName() ?? '')
    if (!isAppCode(file)) continue
    const next = sites[index + 1]
    frames.push({
      file,
      line: site.getLineNumber() ?? 0,
      column: site.getColumnNumber() ?? 0,
      function: site.getFunctionName() ?? '',
      calledForEach: next !== undefined && !next.getFileName() && FOR_EACH.has(next.getFunctionName() ?? ''),
    })
    if (frames.length === MOST_FRAMES) break
  }
  return frames
}
