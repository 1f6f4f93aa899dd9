import { isAppCode, localPath } from '../diagnostics/stack-frames.ts'

/** The frames that V8 captures: enough for those of a query builder and the app's below them. */
const MAX_CAPTURED = 60
/** The frames of the app that identify a caller. */
const MAX_APP_FRAMES = 10
/** Methods that call a function for each element. */
const EACH_METHODS = new Set('map forEach flatMap filter reduce reduceRight some every find findIndex from'.split(' '))

/** A stack frame in the app's code. Line and column count from 1. */
export interface AppFrame {
  readonly file: string
  readonly line: number
  readonly column: number
  /** Empty for an anonymous function. */
  readonly function: string
  /** Whether `map`, `forEach` or a similar method called it. */
  readonly calledForEach: boolean
}

/**
 * The call stack of a query. V8 captures the frames in the constructor, including asynchronous
 * callers, in 5 to 10 µs, and formats them when they are first read.
 */
export class CallStack {
  readonly #holder: { readonly stack?: unknown } = {}
  #frames: readonly AppFrame[] | null = null
  #caller: string | null = null

  /** The number of the run of its query, from 1. */
  readonly run: number

  constructor(run: number) {
    this.run = run
    const before = Error.stackTraceLimit
    try {
      Error.stackTraceLimit = MAX_CAPTURED
      Error.captureStackTrace(this.#holder, CallStack)
    } finally {
      Error.stackTraceLimit = before
    }
  }

  /** The frames in the app's code, the innermost first. */
  get frames(): readonly AppFrame[] {
    this.#frames ??= appFrames(callSitesOf(this.#holder))
    return this.#frames
  }

  /**
   * Identifies the place and its callers; empty without a frame of the app. It has no columns: V8
   * gives the column of the `await` for a caller that waits, else the column of the call.
   */
  get caller(): string {
    this.#caller ??= this.frames.map(({ file, line }) => `${file}:${line}`).join(' ')
    return this.#caller
  }
}

/** Bypasses the app's own `Error.prepareStackTrace` and restores it. */
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
      calledForEach: next !== undefined && !next.getFileName() && EACH_METHODS.has(next.getFunctionName() ?? ''),
    })
    if (frames.length === MAX_APP_FRAMES) break
  }
  return frames
}
