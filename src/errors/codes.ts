import { EXIT, type ExitCode } from './exit-codes.ts'

/** An error that ends a command. */
interface CommandEntry {
  readonly title: string
  readonly httpStatus: null
  readonly exitCode: ExitCode
  readonly meaning: string
  readonly remedy: string
  /** The number is promised; nothing of this version throws it yet. */
  readonly reserved?: true
}

/** An error that a client is told. */
interface RequestEntry {
  readonly title: string
  readonly httpStatus: number
  readonly exitCode: null
  readonly meaning: string
  readonly remedy: string
  /** What the client reads. It reveals nothing of the server's inside. */
  readonly detail: string
  /** Seconds of the `Retry-After` header. */
  readonly retryAfter?: number
}

/** Codes of errors that end a command. */
export type CommandErrorCode =
  | 'PUNCTUAL_SETTINGS_INVALID'
  | 'PUNCTUAL_USAGE'
  | 'PUNCTUAL_PLATFORM_UNSUPPORTED'
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
  | 'PUNCTUAL_ROUTES_UNSUPPORTED'
  | 'PUNCTUAL_INVALID_OPTION'
  | 'PUNCTUAL_ITEM_KILLS_PROCESS'

/** Codes of errors that a client is told over HTTP. */
export type RequestErrorCode =
  | 'PUNCTUAL_STALLED'
  | 'PUNCTUAL_WORKER_LOST'
  | 'PUNCTUAL_REQUEST_TIMEOUT'
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
 * Every code of Punctual, with what it means and what to do. A code is stable: it may be matched on, logged and searched for.
 * The page `docs/reference/errors.md` is generated from this table.
 */
export const CODES: Readonly<Record<CommandErrorCode, CommandEntry> & Record<RequestErrorCode, RequestEntry>> = {
  PUNCTUAL_SETTINGS_INVALID: {
    title: 'Settings do not apply',
    httpStatus: null,
    exitCode: EXIT.usage,
    meaning:
      'A flag, a `PUNCTUAL_*` variable, the config file or `punctual set` names no setting, has a value that is not accepted, or breaks a rule between settings. The message lists every fault at once.',
    remedy: 'Change what the message names. `punctual config` shows every setting, where it comes from, and the rules.',
  },
  PUNCTUAL_USAGE: {
    title: 'Wrong usage',
    httpStatus: null,
    exitCode: EXIT.usage,
    meaning: 'A command or an argument is unknown, missing, or not of the accepted form.',
    remedy: 'Read `punctual help` or `punctual <command> --help`.',
  },
  PUNCTUAL_PLATFORM_UNSUPPORTED: {
    title: 'Platform not supported',
    httpStatus: null,
    exitCode: EXIT.usage,
    meaning: 'Node.js is older than 22.19, or the operating system is Windows.',
    remedy: 'Use Node.js 22.19 or newer on Linux or macOS; on Windows use WSL or a container.',
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
      'Another arbiter runs on this state directory. Two would overwrite each other’s control socket and incidents.',
    remedy: 'Stop the arbiter whose pid the message gives, or give this one its own `--state-dir`.',
  },
  PUNCTUAL_STATE_DIR_UNWRITABLE: {
    title: 'State directory not usable',
    httpStatus: null,
    exitCode: EXIT.usage,
    meaning: 'The state directory cannot be created or written, or its path is too long for a Unix socket.',
    remedy: 'Make it writable for the user that runs Punctual, or name another with `--state-dir`.',
  },
  PUNCTUAL_ADMIN_PORT_TAKEN: {
    title: 'Admin port taken',
    httpStatus: null,
    exitCode: EXIT.usage,
    meaning:
      'The admin server cannot listen on its address: another process does, or the address is not one of this machine.',
    remedy: 'Choose another with `--admin-port` or `--admin-host`; `--admin-port 0` takes a free one.',
  },
  PUNCTUAL_BOOT_FAILED: {
    title: 'The app did not boot',
    httpStatus: null,
    exitCode: EXIT.bootFailed,
    meaning:
      'No worker of the first generation became ready: the entry threw, ended, did not listen, or took longer than `bootTimeout`.',
    remedy: 'Read the boot error in front of the message; run the entry with plain `node` to see it alone.',
  },
  PUNCTUAL_RELEASE_FAILED: {
    title: 'A release step failed',
    httpStatus: null,
    exitCode: EXIT.releaseFailed,
    meaning: 'What must run once before a new generation serves did not succeed, so nothing new was started.',
    remedy:
      'The message names the step, with the end of its output and what was rolled back. Mend it and release again; `punctual release --history` shows every run.',
  },
  PUNCTUAL_CRASH_LOOP: {
    title: 'Crash loop',
    httpStatus: null,
    exitCode: EXIT.crashLoop,
    meaning: 'Workers failed `crashLimit` times within `crashWindow`; starting more would only repeat it.',
    remedy: 'Read the counted reasons and `punctual incidents`, mend the app, start again.',
  },
  PUNCTUAL_INTERNAL_ERROR: {
    title: 'The arbiter failed',
    httpStatus: null,
    exitCode: EXIT.failed,
    meaning:
      'The arbiter itself threw an error that it cannot recover from. It answered 503 to what was in flight, stopped its workers and exited.',
    remedy:
      'Let a service manager start it again, and report the fault with the incident of kind `internal-error`, which has the stack.',
  },
  PUNCTUAL_ARBITER_NOT_RUNNING: {
    title: 'No arbiter is running',
    httpStatus: null,
    exitCode: EXIT.failed,
    meaning: 'Nothing answers on the control socket of this state directory.',
    remedy: 'Start one with `punctual run`, or name the state directory of the one you mean with `--state-dir`.',
  },
  PUNCTUAL_COMMAND_REFUSED: {
    title: 'Command refused',
    httpStatus: null,
    exitCode: EXIT.failed,
    meaning:
      'The arbiter runs, but does not carry out this command now (it is stopping, or the command makes no sense to it).',
    remedy: 'The message says why. `punctual status` shows what the arbiter is doing.',
  },
  PUNCTUAL_COMMAND_TIMED_OUT: {
    title: 'Command not answered in time',
    httpStatus: null,
    exitCode: EXIT.failed,
    meaning: 'The arbiter took the command and did not answer within the limit. It may still carry it out.',
    remedy:
      'Look at `punctual status` and the log. An arbiter that answers nothing at all may be stopped or swapped out.',
  },
  PUNCTUAL_RELOAD_FAILED: {
    title: 'Reload failed',
    httpStatus: null,
    exitCode: EXIT.failed,
    meaning: 'The new generation did not boot. It was dropped; the old one keeps serving.',
    remedy: 'Mend what the message names and reload again.',
  },
  PUNCTUAL_ROUTES_UNSUPPORTED: {
    title: 'Routes cannot be deferred',
    httpStatus: null,
    exitCode: EXIT.failed,
    meaning:
      '`deferRoutes` was not checked on the version of Fastify that the app uses, and cannot add routes to it after its boot. `details.version` is that version.',
    remedy: 'Register the module with `app.register`, or use a version of Fastify that is supported.',
  },
  PUNCTUAL_INVALID_OPTION: {
    title: 'Invalid option',
    httpStatus: null,
    exitCode: EXIT.failed,
    meaning:
      'A function of the toolkit was called with an option whose value is not allowed. The error is an `InvalidOptionError`, a `RangeError` of JavaScript; `details.option` names the option, `details.given` is the value.',
    remedy: 'Correct the call that the stack names. The message says what the option must be.',
  },
  PUNCTUAL_ITEM_KILLS_PROCESS: {
    title: 'Item kills its process',
    httpStatus: null,
    exitCode: EXIT.failed,
    meaning:
      'The error of a dead letter: each time an item of a durable queue was handled, the process died or was killed, so it is not handled any more.',
    remedy:
      'See in the incidents why those workers died: out of memory, a crash, a spin that was cut. Mend the handler, then `punctual deferred retry`.',
  },
  PUNCTUAL_STALLED: {
    title: 'Request stopped',
    httpStatus: 503,
    exitCode: null,
    detail:
      'The server stopped working on this request because it blocked others. It may have been carried out in part.',
    meaning:
      'The code that served this request did not let the event loop turn for longer than `stallInterruptAfter`, and was cut.',
    remedy: 'The incident names function, line and request. Break the work up, or move it to a thread.',
    retryAfter: 1,
  },
  PUNCTUAL_WORKER_LOST: {
    title: 'Request lost',
    httpStatus: 503,
    exitCode: null,
    detail: 'The process that served this request had to be stopped. The request may have been carried out in part.',
    meaning:
      'The worker had to be killed while this request was in flight or unread; its watchdog gave the last answers.',
    remedy: 'The incident says why the worker was killed. A request that changes something must be safe to repeat.',
    retryAfter: 1,
  },
  PUNCTUAL_REQUEST_TIMEOUT: {
    title: 'Request expired',
    httpStatus: 503,
    exitCode: null,
    detail: 'The server could not answer this request in time.',
    meaning: 'The request was not answered by its deadline (`requestTimeout` after it was accepted).',
    remedy: 'Find the wait that took the time in the access log, give it a limit and a fallback.',
    retryAfter: 1,
  },
  PUNCTUAL_SHUTTING_DOWN: {
    title: 'Server shutting down',
    httpStatus: 503,
    exitCode: null,
    detail: 'The server is shutting down and did not finish this request.',
    meaning: 'The worker was told to leave and the request was still unanswered after `drainTimeout`.',
    remedy:
      'Raise `drainTimeout` and `stopTimeout` if requests may take that long; otherwise find out what they wait for.',
    retryAfter: 1,
  },
  PUNCTUAL_WAIT_TIMEOUT: {
    title: 'Wait expired',
    httpStatus: 503,
    exitCode: null,
    detail: 'The server waited too long for something that it needs to answer this request.',
    meaning:
      'A named wait took longer than its limit, or than what was left of the deadline, and had no fallback. `because` tells which, `started` whether it was begun at all.',
    remedy:
      'Find out why what it waits for is slow. Give the wait a fallback if the answer can do without; a bigger limit only if it is known to be too small.',
    retryAfter: 1,
  },
  PUNCTUAL_CLIENT_DISCONNECTED: {
    title: 'Client gone',
    httpStatus: 503,
    exitCode: null,
    detail: 'The connection was closed before this request was answered.',
    meaning:
      'The client closed its connection while its request was in work, so what the request still waited for was given up. This is no time-out, and nobody reads the answer.',
    remedy: 'Nothing, unless it happens often: then clients give up sooner than the server answers.',
    retryAfter: 1,
  },
  PUNCTUAL_SHED: {
    title: 'Too much to do',
    httpStatus: 503,
    exitCode: null,
    detail: 'The server has more to do than it can do in time, and did not begin with this request.',
    meaning: 'Work was refused, or given up, because there was more of it than could be done in time.',
    remedy: 'Add workers or machines if this load is to be expected; otherwise let clients back off.',
    retryAfter: 1,
  },
  PUNCTUAL_SUPERSEDED: {
    title: 'Superseded',
    httpStatus: 503,
    exitCode: null,
    detail: 'Something newer took the place of what this request asked for.',
    meaning: 'Work was given up because something newer took its place, such as a later attempt at the same.',
    remedy: 'Nothing: await what took its place.',
    retryAfter: 1,
  },
  PUNCTUAL_BREAKER_OPEN: {
    title: 'Breaker open',
    httpStatus: 503,
    exitCode: null,
    detail:
      'Something that the server needs to answer this request has failed repeatedly and is not asked for a moment.',
    meaning:
      'Calls through this breaker failed often enough to open it; until it closes again they fail at once. `cause` is the last failure, `retryAfter` when it will be tried again.',
    remedy: 'Mend what it protects from. Give the call a fallback if the answer can do without.',
    retryAfter: 1,
  },
  PUNCTUAL_BULKHEAD_FULL: {
    title: 'Bulkhead full',
    httpStatus: 503,
    exitCode: null,
    detail: 'Too many requests need the same thing at once.',
    meaning: 'As many calls as this bulkhead lets through at once are in work, and its queue is full.',
    remedy:
      'Look at `abandonedOperations()` and at what the calls in work wait for. Raise `concurrent` only if what is behind it can take more.',
    retryAfter: 1,
  },
  PUNCTUAL_CONNECTION_LOST: {
    title: 'Database connection lost',
    httpStatus: 503,
    exitCode: null,
    detail: 'The server lost a connection it needed for this request. The request may have been carried out in part.',
    meaning:
      'A connection of a guarded pool ended under a query: the database restarted, the network broke, its borrower had it destroyed, or it was destroyed because nobody could tell what state it was in.',
    remedy:
      'The message says why. A read may be repeated at once; a write only if it is safe to do twice, since it may have been carried out.',
    retryAfter: 1,
  },
  PUNCTUAL_ROUTES_NOT_LOADED: {
    title: 'Not loaded yet',
    httpStatus: 503,
    exitCode: null,
    detail: 'The server is still loading what it needs to answer this request.',
    meaning: 'The module of deferred routes was not loaded within the deadline of the request. It goes on loading.',
    remedy:
      'See what its import costs with `--boot-profile`. Mount what is asked for right after a start without deferring it.',
    retryAfter: 1,
  },
  PUNCTUAL_ROUTES_FAILED: {
    title: 'Not available',
    httpStatus: 503,
    exitCode: null,
    detail: 'This part of the server could not be loaded. It is tried again.',
    meaning:
      'The module of deferred routes threw while it was loaded or mounted. Only its own routes fail; it is tried again with growing delays.',
    remedy: 'The log has the error. Mend it and reload.',
    retryAfter: 1,
  },
  PUNCTUAL_TOO_MANY_QUERIES: {
    title: 'Too many queries',
    httpStatus: 503,
    exitCode: null,
    detail: 'The server could not answer this request.',
    meaning:
      'A request asked for more queries than its route may run. Only in tests (`NODE_ENV=test`, or inside `expectQueries`) is that an error; elsewhere it is a line in the log.',
    remedy: 'Load together what is loaded one by one, or give the route a larger budget.',
    retryAfter: 1,
  },
  PUNCTUAL_SQLITE_FAILED: {
    title: 'SQLite refused',
    httpStatus: 503,
    exitCode: null,
    detail: 'The database could not carry out what this request needs.',
    meaning:
      'SQLite refused a statement of a database that `openSqlite` opened, or could not open its file. `errname` is its own name for the reason, such as `SQLITE_CONSTRAINT_UNIQUE`.',
    remedy:
      'The message says what was refused. A constraint is for the app to answer in its own words; for a file that cannot be opened, check its path, its directory and who may write there.',
    retryAfter: 1,
  },
  PUNCTUAL_BATCH_RESULT: {
    title: 'Values do not match keys',
    httpStatus: 500,
    exitCode: null,
    detail: 'The server could not answer this request.',
    meaning:
      'What `loadMany` of a batch returned does not go with the keys it was given: no array and no `Map`, an array of another length, or a `Map` with none of the keys. `details.problem` says which.',
    remedy:
      'Return one value for each key, in their order, or a `Map` by key. The keys of the `Map` must be of the same type (pg gives bigint columns as strings); objects need the option `keyOf`.',
  },
  PUNCTUAL_CACHE_VALUE: {
    title: 'Value cannot be cached',
    httpStatus: 500,
    exitCode: null,
    detail: 'The server could not answer this request.',
    meaning:
      'What the `load` of a cache returned, or what was given to its `set`, can neither be frozen nor copied, so callers would share something that one of them may change.',
    remedy:
      'The message names cache, key and place. Return plain objects, arrays, strings, numbers, booleans, bigints, dates, maps, sets or bytes.',
  },
  PUNCTUAL_QUEUE_NOT_SYNCED: {
    title: 'Queue not synced',
    httpStatus: 503,
    exitCode: null,
    detail: 'The server could not store what this request needs to keep.',
    meaning:
      'A durable queue could not sync, and `synced` rejected: items that it accepted would not survive a loss of power, because they are in memory only or the disk refused to sync them. `details.reason` is the error code of the file system, or another word for why.',
    remedy:
      'See what is wrong with the disk that has the state directory. The queue writes the items down by itself once the disk works again.',
    retryAfter: 5,
  },
}
