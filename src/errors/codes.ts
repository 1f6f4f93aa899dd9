/** The exit codes of `punctual`. Scripts and service managers rely on them: never change one. */
export const EXIT = {
  stopped: 0,
  failed: 1,
  usage: 2,
  bootFailed: 3,
  releaseFailed: 4,
  crashLoop: 5,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** The meaning of each, for the reference. */
export const EXIT_MEANINGS: Readonly<Record<ExitCode, string>> = {
  0: 'Stopped on request, or the command succeeded',
  1: 'The command failed, the shutdown of a worker failed, or an unexpected error was thrown',
  2: 'Wrong usage or invalid settings; nothing was started',
  3: 'The first generation of workers did not boot',
  4: 'The release failed',
  5: 'Crash loop: workers failed too often',
}

/** An error that ends a command. */
interface CommandEntry {
  readonly title: string
  readonly httpStatus: null
  readonly exitCode: ExitCode
  readonly meaning: string
  readonly remedy: string
  /** The code is reserved; no version throws it yet. */
  readonly reserved?: true
}

/** An error that is sent to a client. */
interface RequestEntry {
  readonly title: string
  readonly httpStatus: number
  readonly exitCode: null
  readonly meaning: string
  readonly remedy: string
  /** The text for the client. It reveals no internals. */
  readonly detail: string
  /** Seconds of the `Retry-After` header. */
  readonly retryAfter?: number
}

/** Codes of errors that end a command. */
export type CommandErrorCode =
  | 'PUNCTUAL_SETTINGS_INVALID'
  | 'PUNCTUAL_USAGE'
  | 'PUNCTUAL_PLATFORM_UNSUPPORTED'
  | 'PUNCTUAL_PERMISSION_MISSING'
  | 'PUNCTUAL_ENTRY_MISSING'
  | 'PUNCTUAL_STATE_DIR_LOCKED'
  | 'PUNCTUAL_STATE_DIR_UNWRITABLE'
  | 'PUNCTUAL_ADMIN_PORT_TAKEN'
  | 'PUNCTUAL_BOOT_FAILED'
  | 'PUNCTUAL_RELEASE_FAILED'
  | 'PUNCTUAL_CRASH_LOOP'
  | 'PUNCTUAL_INTERNAL_ERROR'
  | 'PUNCTUAL_ARBITER_NOT_RUNNING'
  | 'PUNCTUAL_COMMAND_REFUSED'
  | 'PUNCTUAL_COMMAND_TIMED_OUT'
  | 'PUNCTUAL_RELOAD_FAILED'
  | 'PUNCTUAL_STOP_FAILED'
  | 'PUNCTUAL_ROUTES_UNSUPPORTED'
  | 'PUNCTUAL_INVALID_OPTION'
  | 'PUNCTUAL_ITEM_KILLS_PROCESS'

/** Codes of errors that are sent to clients. */
export type RequestErrorCode =
  | 'PUNCTUAL_STALLED'
  | 'PUNCTUAL_WORKER_LOST'
  | 'PUNCTUAL_REQUEST_TIMEOUT'
  | 'PUNCTUAL_REQUEST_TOO_SLOW'
  | 'PUNCTUAL_SHUTTING_DOWN'
  | 'PUNCTUAL_CONNECTION_LOST'
  | 'PUNCTUAL_WAIT_TIMEOUT'
  | 'PUNCTUAL_CLIENT_DISCONNECTED'
  | 'PUNCTUAL_SHED'
  | 'PUNCTUAL_SUPERSEDED'
  | 'PUNCTUAL_BREAKER_OPEN'
  | 'PUNCTUAL_BULKHEAD_FULL'
  | 'PUNCTUAL_SQLITE_FAILED'
  | 'PUNCTUAL_CACHE_VALUE'
  | 'PUNCTUAL_BATCH_RESULT'
  | 'PUNCTUAL_TOO_MANY_QUERIES'
  | 'PUNCTUAL_ROUTES_NOT_LOADED'
  | 'PUNCTUAL_ROUTES_FAILED'
  | 'PUNCTUAL_QUEUE_NOT_SYNCED'

export type ErrorCode = CommandErrorCode | RequestErrorCode

/**
 * Every error code, with its meaning and what to do. Codes are stable: match, log and search them.
 * `docs/reference/errors.md` is generated from this table.
 */
export const CODES: Readonly<Record<CommandErrorCode, CommandEntry> & Record<RequestErrorCode, RequestEntry>> = {
  PUNCTUAL_SETTINGS_INVALID: {
    title: 'Invalid settings',
    httpStatus: null,
    exitCode: EXIT.usage,
    meaning:
      'A flag, a `PUNCTUAL_*` variable, the config file or `punctual set` has an unknown name, an invalid value, or breaks a rule between settings. The message lists every fault; so does `details.faults`.',
    remedy: 'Change what the message names. `punctual config` prints every setting, its origin, and the rules.',
  },
  PUNCTUAL_USAGE: {
    title: 'Wrong usage',
    httpStatus: null,
    exitCode: EXIT.usage,
    meaning: 'A command or an argument is unknown, missing, or invalid.',
    remedy: 'Read `punctual help` or `punctual <command> --help`.',
  },
  PUNCTUAL_PLATFORM_UNSUPPORTED: {
    title: 'Platform not supported',
    httpStatus: null,
    exitCode: EXIT.usage,
    meaning: 'Node.js is older than 22.19, or the operating system is Windows.',
    remedy: 'Use Node.js 22.19 or newer on Linux or macOS; on Windows use WSL or a container.',
  },
  PUNCTUAL_PERMISSION_MISSING: {
    title: 'Permission of Node.js missing',
    httpStatus: null,
    exitCode: EXIT.usage,
    meaning: 'The permission model of Node.js denies something that Punctual needs; the message names the flags.',
    remedy: 'Add the flags, or start without `--permission`.',
  },
  PUNCTUAL_ENTRY_MISSING: {
    title: 'Entry not found',
    httpStatus: null,
    exitCode: EXIT.usage,
    meaning: 'The file given to `punctual run` does not exist, is not a file, or cannot be read.',
    remedy: 'Check the path. It is relative to the working directory.',
  },
  PUNCTUAL_STATE_DIR_LOCKED: {
    title: 'State directory in use',
    httpStatus: null,
    exitCode: EXIT.usage,
    meaning:
      'Another arbiter uses this state directory. Two arbiters would overwrite each other’s control socket and incidents.',
    remedy: 'Stop the arbiter with the pid in the message, or use another `--state-dir`.',
  },
  PUNCTUAL_STATE_DIR_UNWRITABLE: {
    title: 'State directory not usable',
    httpStatus: null,
    exitCode: EXIT.usage,
    meaning: 'The state directory cannot be created or written, or its path is too long for a Unix socket.',
    remedy: 'Make it writable for the user that runs Punctual, or use another `--state-dir`.',
  },
  PUNCTUAL_ADMIN_PORT_TAKEN: {
    title: 'Admin port in use',
    httpStatus: null,
    exitCode: EXIT.usage,
    meaning:
      'The admin server cannot listen on its address: another process uses it, or this machine does not have it.',
    remedy:
      'Use another `--admin-port` or `--admin-host` (for probes `--probe-port` or `--probe-host`); port 0 takes a free one.',
  },
  PUNCTUAL_BOOT_FAILED: {
    title: 'The app did not boot',
    httpStatus: null,
    exitCode: EXIT.bootFailed,
    meaning:
      'No worker of the first generation became ready: the entry threw, exited, did not listen, or exceeded `bootTimeout`.',
    remedy: 'Read the error of the app above the message; run the entry with `node` to see it alone.',
  },
  PUNCTUAL_RELEASE_FAILED: {
    title: 'Release failed',
    httpStatus: null,
    exitCode: EXIT.releaseFailed,
    meaning: 'A release step, its lock or its backup failed, so no new generation was started.',
    remedy:
      'The message names the step, the end of its output, and what was rolled back. Fix it and release again; `punctual release --history` lists every run.',
  },
  PUNCTUAL_CRASH_LOOP: {
    title: 'Crash loop',
    httpStatus: null,
    exitCode: EXIT.crashLoop,
    meaning: 'Workers failed `crashLimit` times within `crashWindow`.',
    remedy: 'Read the counted reasons and `punctual incidents`, fix the app, start again.',
  },
  PUNCTUAL_INTERNAL_ERROR: {
    title: 'The arbiter failed',
    httpStatus: null,
    exitCode: EXIT.failed,
    meaning:
      'The arbiter threw an error that it cannot recover from. It answered requests in flight with 503, stopped its workers and exited.',
    remedy: 'Let a service manager restart it, and report the incident of kind `internal-error`, which has the stack.',
  },
  PUNCTUAL_ARBITER_NOT_RUNNING: {
    title: 'No arbiter is running',
    httpStatus: null,
    exitCode: EXIT.failed,
    meaning: 'No process answers on the control socket of this state directory.',
    remedy: 'Start one with `punctual run`, or select another state directory with `--state-dir`.',
  },
  PUNCTUAL_COMMAND_REFUSED: {
    title: 'Command refused',
    httpStatus: null,
    exitCode: EXIT.failed,
    meaning: 'The arbiter does not execute this command now: it is stopping, or the command does not apply.',
    remedy: 'The message has the reason. `punctual status` shows what the arbiter is doing.',
  },
  PUNCTUAL_COMMAND_TIMED_OUT: {
    title: 'Command timed out',
    httpStatus: null,
    exitCode: EXIT.failed,
    meaning: 'The arbiter received the command and did not answer in time. It may still execute it.',
    remedy: 'See `punctual status` and the log. An arbiter that does not answer at all may be stopped or swapped out.',
  },
  PUNCTUAL_RELOAD_FAILED: {
    title: 'Reload failed',
    httpStatus: null,
    exitCode: EXIT.failed,
    meaning: 'The new generation did not boot and was dropped; the old one keeps serving.',
    remedy: 'Fix what the message names and reload again.',
  },
  PUNCTUAL_STOP_FAILED: {
    title: 'Shutdown of a worker failed',
    httpStatus: null,
    exitCode: EXIT.failed,
    meaning:
      'The arbiter has stopped, but a worker did not shut down cleanly: it threw, exited with a code other than 0, was killed, or did not exit within `stopTimeout`. Its clean-up may be incomplete.',
    remedy: 'The message names the workers; `punctual incidents` has the errors, and what a killed worker waited for.',
  },
  PUNCTUAL_ROUTES_UNSUPPORTED: {
    title: 'Routes cannot be deferred',
    httpStatus: null,
    exitCode: EXIT.failed,
    meaning: 'The framework of the app has a version that `deferRoutes` does not support.',
    remedy: 'Register the module in the usual way, or update Punctual.',
  },
  PUNCTUAL_INVALID_OPTION: {
    title: 'Invalid option',
    httpStatus: null,
    exitCode: EXIT.failed,
    meaning:
      'A function of the toolkit was called with an invalid option. The error is an `InvalidOptionError`, a `RangeError`; `details.option` is the name, `details.given` the value.',
    remedy: 'Correct the call in the stack. The message says what the option must be.',
  },
  PUNCTUAL_ITEM_KILLS_PROCESS: {
    title: 'Item kills its process',
    httpStatus: null,
    exitCode: EXIT.failed,
    meaning:
      'The error of a dead letter: the process died whenever it handled this item of a durable queue, so the item is no longer delivered.',
    remedy:
      'The incidents say why the workers died: out of memory, a crash, an interrupted stall. Fix the handler, then run `punctual deferred retry`.',
  },
  PUNCTUAL_STALLED: {
    title: 'Request stopped',
    httpStatus: 503,
    exitCode: null,
    detail: 'The server stopped working on this request because it blocked others. It may have been partly processed.',
    meaning:
      'The code of this request blocked the event loop for longer than `stallInterruptAfter` and was interrupted.',
    remedy: 'The incident names function, line and request. Split the work, or move it to a worker thread.',
    retryAfter: 1,
  },
  PUNCTUAL_WORKER_LOST: {
    title: 'Request lost',
    httpStatus: 503,
    exitCode: null,
    detail: 'The process that served this request had to be stopped. The request may have been partly processed.',
    meaning:
      'The worker was killed while this request was in flight or unread; its watchdog sent an emergency response.',
    remedy: 'The incident has the reason. A request that changes data must be safe to repeat.',
    retryAfter: 1,
  },
  PUNCTUAL_REQUEST_TIMEOUT: {
    title: 'Request timed out',
    httpStatus: 503,
    exitCode: null,
    detail: 'The server could not answer this request in time.',
    meaning:
      'The response did not begin within `requestTimeout` of the acceptance of the request; or it made no progress for `streamIdleTimeout`.',
    remedy: 'Find the slow wait in the access log; give it a timeout and a fallback.',
    retryAfter: 1,
  },
  PUNCTUAL_REQUEST_TOO_SLOW: {
    title: 'Request too slow',
    httpStatus: 408,
    exitCode: null,
    detail: 'The body of this request arrived too slowly.',
    meaning: 'The client sent the body of its request more slowly than `minRequestRate`.',
    remedy: 'Nothing, unless honest clients are that slow: then lower `minRequestRate`.',
  },
  PUNCTUAL_SHUTTING_DOWN: {
    title: 'Server shutting down',
    httpStatus: 503,
    exitCode: null,
    detail: 'The server is shutting down and did not finish this request.',
    meaning: 'The worker was draining and the request was still unanswered after `drainTimeout`.',
    remedy:
      'Raise `drainTimeout` and `stopTimeout` if requests may take that long; otherwise find out what they wait for.',
    retryAfter: 1,
  },
  PUNCTUAL_WAIT_TIMEOUT: {
    title: 'Wait timed out',
    httpStatus: 503,
    exitCode: null,
    detail: 'The server waited too long for something that it needs to answer this request.',
    meaning:
      'A named wait exceeded its timeout, or the deadline around it, and had no fallback. `because` says which, `started` whether its work began.',
    remedy:
      'Find out why it is slow. Add a fallback if the answer is useful without it; raise the timeout only if it is known to be too short.',
    retryAfter: 1,
  },
  PUNCTUAL_CLIENT_DISCONNECTED: {
    title: 'Client disconnected',
    httpStatus: 503,
    exitCode: null,
    detail: 'The connection was closed before this request was answered.',
    meaning:
      'The client closed the connection while its request was processed, so its waits were aborted. This is not a timeout.',
    remedy: 'Nothing, unless it is frequent: then clients give up before the server answers.',
    retryAfter: 1,
  },
  PUNCTUAL_SHED: {
    title: 'Too many requests',
    httpStatus: 503,
    exitCode: null,
    detail: 'The server has more requests than it can answer in time, and did not start this one.',
    meaning: 'Work was refused or aborted because there was more than could be done in time.',
    remedy: 'Add workers or machines if this load is normal; otherwise let clients retry later.',
    retryAfter: 1,
  },
  PUNCTUAL_SUPERSEDED: {
    title: 'Superseded',
    httpStatus: 503,
    exitCode: null,
    detail: 'A newer operation replaced the one that this request asked for.',
    meaning: 'Work was aborted because newer work replaced it, such as a later attempt.',
    remedy: 'Nothing: await the newer work.',
    retryAfter: 1,
  },
  PUNCTUAL_BREAKER_OPEN: {
    title: 'Circuit breaker open',
    httpStatus: 503,
    exitCode: null,
    detail: 'Something that the server needs to answer this request fails repeatedly and is paused for a moment.',
    meaning:
      'Calls through this breaker failed often enough to open it; it rejects calls until it closes. `cause` is the last failure, `retryAfter` the time until the next attempt.',
    remedy: 'Fix what the breaker protects. Add a fallback if the answer is useful without it.',
    retryAfter: 1,
  },
  PUNCTUAL_BULKHEAD_FULL: {
    title: 'Bulkhead full',
    httpStatus: 503,
    exitCode: null,
    detail: 'Too many requests need the same thing at once.',
    meaning: 'The bulkhead runs its maximum of concurrent calls, and its queue is full.',
    remedy:
      'See `abandonedOperations()` and what the running calls wait for. Raise `concurrent` only if the resource can take more.',
    retryAfter: 1,
  },
  PUNCTUAL_CONNECTION_LOST: {
    title: 'Database connection lost',
    httpStatus: 503,
    exitCode: null,
    detail: 'The server lost a connection it needed for this request. The request may have been partly processed.',
    meaning:
      'A connection of a guarded pool ended during a query: the database restarted, the network failed, or the connection was destroyed because its state was unknown.',
    remedy:
      'The message has the reason. Repeat a read at once; repeat a write only if it is idempotent, since it may have been executed.',
    retryAfter: 1,
  },
  PUNCTUAL_ROUTES_NOT_LOADED: {
    title: 'Not loaded yet',
    httpStatus: 503,
    exitCode: null,
    detail: 'The server is still loading what it needs to answer this request.',
    meaning: 'The module of deferred routes was not loaded before the deadline of the request. Loading continues.',
    remedy: 'Measure its import with `--boot-profile`. Do not defer routes that are requested right after a start.',
    retryAfter: 1,
  },
  PUNCTUAL_ROUTES_FAILED: {
    title: 'Not available',
    httpStatus: 503,
    exitCode: null,
    detail: 'This part of the server could not be loaded. Loading will be retried.',
    meaning:
      'The module of deferred routes threw while it was loaded or mounted. Only its routes fail; loading is retried with growing delays.',
    remedy: 'The log has the error. Fix it and reload.',
    retryAfter: 1,
  },
  PUNCTUAL_TOO_MANY_QUERIES: {
    title: 'Too many queries',
    httpStatus: 503,
    exitCode: null,
    detail: 'The server could not answer this request.',
    meaning:
      'A request ran more queries than its route allows. It is an error only in tests (`NODE_ENV=test`, or inside `expectQueries`); elsewhere it is a line in the log.',
    remedy: 'Load rows together instead of one by one, or raise the limit of the route.',
    retryAfter: 1,
  },
  PUNCTUAL_SQLITE_FAILED: {
    title: 'SQLite error',
    httpStatus: 503,
    exitCode: null,
    detail: 'The database could not do what this request needs.',
    meaning:
      'SQLite refused a statement of a database opened by `openSqlite`, or could not open its file. `errname` is the name of the error, such as `SQLITE_CONSTRAINT_UNIQUE`.',
    remedy:
      'The message says what was refused. Handle a constraint in the app; for a file that cannot be opened, check its path, directory and permissions.',
    retryAfter: 1,
  },
  PUNCTUAL_BATCH_RESULT: {
    title: 'Values do not match keys',
    httpStatus: 500,
    exitCode: null,
    detail: 'The server could not answer this request.',
    meaning:
      'The result of `loadMany` of a batch does not match its keys: neither an array nor a `Map`, an array of another length, or a `Map` with none of the keys. `details.problem` says which.',
    remedy:
      'Return one value for each key, in their order, or a `Map` by key. The keys of the `Map` must be of the same type (pg gives bigint columns as strings); objects need the option `keyOf`.',
  },
  PUNCTUAL_CACHE_VALUE: {
    title: 'Value cannot be cached',
    httpStatus: 500,
    exitCode: null,
    detail: 'The server could not answer this request.',
    meaning:
      'The result of the `load` of a cache, or the value given to its `set`, can be neither frozen nor copied, so that callers would share a mutable value.',
    remedy:
      'The message names cache, key and property. Return plain objects, arrays, strings, numbers, booleans, bigints, dates, maps, sets or bytes.',
  },
  PUNCTUAL_QUEUE_NOT_SYNCED: {
    title: 'Queue not synced',
    httpStatus: 503,
    exitCode: null,
    detail: 'The server could not store what this request needs to keep.',
    meaning:
      'A durable queue could not sync, and `synced` rejected: a power loss would lose items, because they are in memory only or the disk refused to sync them. `details.reason` is the error code of the file system, or another reason.',
    remedy: 'Check the disk of the state directory. The queue writes the items once the disk works again.',
    retryAfter: 5,
  },
}
