import type { Incident, IncidentSummary } from '../diagnostics/incident.ts'
import type { Status, WorkerStatus } from '../diagnostics/status.ts'
import type { ScaleChange, SetOutcome, SettingsInForce } from './arbiter-control.ts'

/** A request over the control socket: one JSON value a line. Requests are answered in order. */
export type ControlRequest = ControlAsk & { readonly id: number }

export type ControlAsk =
  | { readonly command: 'status' | 'reload' | 'stop' | 'incidents' | 'settings' }
  | { readonly command: 'scale'; readonly change: ScaleChange }
  | { readonly command: 'incident'; readonly incident: string }
  | { readonly command: 'set'; readonly values: Readonly<Record<string, string>>; readonly force: boolean }
  /** No names: all. */
  | { readonly command: 'unset'; readonly names: readonly string[] }

export type ControlCommand = ControlAsk['command']

export type ControlAnswer =
  /** Sent every second while a command runs, as a heartbeat. */
  | { readonly id: number; readonly progress: string }
  | { readonly id: number; readonly ok: true; readonly result: unknown }
  | {
      readonly id: number | null
      readonly ok: false
      readonly error: ControlError
    }

/** Why a command failed: code, message and details of a `PunctualError`. */
export interface ControlError {
  readonly code: string
  readonly message: string
  readonly details?: Readonly<Record<string, unknown>>
}

/** The result of each command. */
export interface ControlResults {
  readonly status: Status
  readonly reload: { readonly message: string }
  readonly stop: { readonly message: string }
  readonly scale: { readonly message: string }
  readonly incidents: readonly IncidentSummary[]
  readonly incident: Incident | null
  readonly settings: SettingsInForce
  readonly set: SetOutcome
  readonly unset: SetOutcome
}

/** In bytes. */
export const MAX_REQUEST_LENGTH: number = 64 * 1024
/** In characters. */
const MAX_VALUE_LENGTH = 1_000
/** Guards against typos. */
const MAX_WORKERS = 1024

/** Reads a request; a string says what is wrong with it. */
export function parseRequest(value: unknown): ControlRequest | string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'a request must be a JSON object'
  const { id, command, change, incident, values, force, names } = value as Readonly<Record<string, unknown>>
  if (typeof id !== 'number' || !Number.isSafeInteger(id)) return '"id" must be an integer'
  switch (command) {
    case 'status':
    case 'reload':
    case 'stop':
    case 'incidents':
    case 'settings':
      return { id, command }
    case 'set':
      if (!areTexts(values) || typeof force !== 'boolean') {
        return `"set" requires "values", an object of strings of at most ${MAX_VALUE_LENGTH} characters, and "force", a boolean`
      }
      return { id, command, values, force }
    case 'unset':
      if (!Array.isArray(names) || !names.every((name) => typeof name === 'string')) {
        return '"unset" requires "names", an array of strings'
      }
      return { id, command, names }
    case 'incident':
      if (typeof incident !== 'string') return '"incident" requires the id of an incident'
      return { id, command, incident }
    case 'scale': {
      const parsed = parseChange(change)
      return parsed === null
        ? `"scale" requires "change": { "to": n } or { "by": n } with n up to ${MAX_WORKERS}`
        : { id, command, change: parsed }
    }
    default:
      return `unknown command ${JSON.stringify(command) ?? ''}; commands: status, reload, scale, stop, incidents, incident, settings, set, unset`
  }
}

function parseChange(change: unknown): ScaleChange | null {
  if (typeof change !== 'object' || change === null) return null
  const { to, by } = change as Readonly<Record<string, unknown>>
  if (isCount(to) && to >= 1 && by === undefined) return { to }
  if (isCount(by) && by !== 0 && to === undefined) return { by }
  return null
}

function areTexts(values: unknown): values is Readonly<Record<string, string>> {
  if (typeof values !== 'object' || values === null || Array.isArray(values)) return false
  const texts = Object.values(values)
  return texts.length > 0 && texts.every((text) => typeof text === 'string' && text.length <= MAX_VALUE_LENGTH)
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && Math.abs(value) <= MAX_WORKERS
}

/** Formats progress: `generation 2: 1 of 2 workers ready, 1 booting; 2 old, 1 draining`. */
export function formatProgress(status: Status): string {
  const { phase, generation, wanted, workers } = status
  const running = workers.filter((worker) => worker.state !== 'exited')
  if (phase === 'stopping') {
    const inFlight = running.reduce((sum, worker) => sum + worker.inFlight, 0)
    return running.length === 0
      ? 'all workers have exited'
      : `${running.length} ${running.length === 1 ? 'worker' : 'workers'} draining, ${inFlight} ${inFlight === 1 ? 'request' : 'requests'} in flight${lingering(running)}`
  }
  if (status.release?.state === 'running') return status.release.message
  const newest = Math.max(generation, ...workers.map((worker) => worker.generation))
  const current = workers.filter((worker) => worker.generation === newest)
  const old = running.filter((worker) => worker.generation !== newest)
  const booting = count(current, 'spawned') + count(current, 'booting')
  const draining = count(old, 'draining')
  return [
    `generation ${newest}: ${count(current, 'ready')} of ${wanted} workers ready${booting === 0 ? '' : `, ${booting} booting`}`,
    old.length === 0 ? '' : `${old.length} old, ${draining} draining`,
  ]
    .filter((part) => part !== '')
    .join('; ')
}

/** The workers that have drained, and do not exit. */
function lingering(workers: readonly WorkerStatus[]): string {
  return workers
    .filter(({ waitingFor }) => waitingFor.length > 0)
    .map(({ id, waitingFor }) => `; worker ${id} waits for ${waitingFor.join(', ')}`)
    .join('')
}

function count(workers: readonly WorkerStatus[], state: WorkerStatus['state']): number {
  return workers.filter((worker) => worker.state === state).length
}
