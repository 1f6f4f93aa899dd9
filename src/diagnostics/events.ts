import type { Incident } from './incident.ts'

/** What can happen to a worker, as it is recorded and counted. The page `docs/reference/events.md` is generated from these tables. */

/** Each `kind` of an incident. */
export const INCIDENT_KINDS: Readonly<Record<Incident['kind'], string>> = {
  stall: 'The main thread of a worker did not turn its event loop for longer than `stallReportAfter`.',
  frozen: 'Nothing of a process gave a sign of life any more: it was stopped, swapped out, or starved.',
  boot: 'A worker ended, or was killed at `bootTimeout`, before it was ready.',
  crash: 'A worker that served ended without having been asked to.',
  memory: 'A worker used more than `maxMemory` for `maxMemorySamples` seconds, and is replaced.',
  leak: 'A guarded pool has lent a connection for longer than its `leakThreshold`. The borrower is named; the worker goes on.',
  'crash-loop': 'Workers failed `crashLimit` times within `crashWindow`: the arbiter gave up.',
  'internal-error':
    'The arbiter itself failed, for a fault of Punctual. It stopped its workers and exited with code 1.',
}

/** Each `outcome` of an incident. */
export const INCIDENT_OUTCOMES: Readonly<Record<Incident['outcome'], string>> = {
  ongoing: 'It is not over.',
  ended: 'It ended by itself, and the worker goes on.',
  interrupted: 'The JavaScript that stalled was ended; the worker finished its other requests and was replaced.',
  killed: 'The process was killed, after its clients had been given last answers where that was possible.',
  exited: 'The process ended by itself.',
}

/** Why a worker was restarted: the `reason` of `punctual_restarts_total`, the keys of `restarts` in `/status`. */
export const RESTART_REASONS = {
  boot: 'It was not ready: its entry threw, ended, did not listen, or took longer than `bootTimeout`.',
  crash: 'An error that nobody caught, or an exit of its own.',
  stall: 'It was killed at `stallKillAfter`.',
  frozen: 'It was killed at `frozenKillAfter`.',
  'out-of-memory': 'V8 aborted with a full heap.',
  'killed-externally': 'SIGKILL from somebody else: the kernel out of memory, or a person.',
  'stop-timeout': 'It was told to leave and had not by `stopTimeout`.',
  spawn: 'Its process could not be started.',
} as const

export type RestartReason = keyof typeof RESTART_REASONS
