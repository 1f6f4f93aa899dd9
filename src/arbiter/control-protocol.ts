import type { Incident, IncidentSummary } from '../diagnostics/incident.ts'
import type { Status } from '../diagnostics/status.ts'
import type { ScaleChange } from './arbiter-control.ts'
import type { SetOutcome, SettingsInForce } from './settings-control.ts'

/** What the command line and the arbiter say to each other over the control socket: one JSON value a line, answered in order. */
export type ControlRequest = ControlAsk & { readonly id: number }

/** What is asked. */
export type ControlAsk =
  | { readonly command: 'status' | 'reload' | 'stop' | 'incidents' | 'settings' }
  | { readonly command: 'scale'; readonly change: ScaleChange }
  | { readonly command: 'incident'; readonly incident: string }
  | { readonly command: 'set'; readonly values: Readonly<Record<string, string>>; readonly force: boolean }
  /** Of no names: all. */
  | { readonly command: 'unset'; readonly names: readonly string[] }

export type ControlCommand = ControlAsk['command']

export type ControlAnswer =
  /** A sign of life while a command is carried out, every second; `progress` says how far it is. */
  | { readonly id: number; readonly progress: string }
  | { readonly id: number; readonly ok: true; readonly result: unknown }
  | {
      readonly id: number | null
      readonly ok: false
      readonly error: ControlError
    }

/** Why a command was refused: the code, message and details of the error, as `PunctualError` has them. */
export interface ControlError {
  readonly code: string
  readonly message: string
  readonly details?: Readonly<Record<string, unknown>>
}

/** What each command answers with. */
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

/** Most bytes of a request line. */
export const LONGEST_REQUEST: number = 64 * 1024
/** Most characters of a value that is set. */
const LONGEST_VALUE = 1_000
/** Most workers that can be asked for: more is a slip of the finger. */
const MOST_WORKERS = 1024

/** Reads a request; a string says what is wrong with it. */
export function parseRequest(value: unknown): ControlRequest | string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'a request is a JSON object'
  const { id, command, change, incident, values, force, names } = value as Readonly<Record<string, unknown>>
  if (typeof id !== 'number' || !Number.isSafeInteger(id)) return 'a request has an "id", an integer'
  switch (command) {
    case 'status':
    case 'reload':
    case 'stop':
    case 'incidents':
    case 'settings':
      return { id, command }
    case 'set':
      if (!areTexts(values) || typeof force !== 'boolean') {
        return `"set" takes "values": { name: text }, of at most ${LONGEST_VALUE} characters each, and "force": a boolean`
      }
      return { id, command, values, force }
    case 'unset':
      if (!Array.isArray(names) || !names.every((name) => typeof name === 'string')) {
        return '"unset" takes "names": a list of names, empty for all'
      }
      return { id, command, names }
    case 'incident':
      if (typeof incident !== 'string') return '"incident" takes the id of an incident'
      return { id, command, incident }
    case 'scale': {
      const parsed = parseChange(change)
      return parsed === null
        ? `"scale" takes a "change": { "to": n } or { "by": n }, of at most ${MOST_WORKERS} workers`
        : { id, command, change: parsed }
    }
    default:
      return `there is no command ${JSON.stringify(command) ?? ''}; there are status, reload, scale, stop, incidents, incident, settings, set, unset`
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
  return texts.length > 0 && texts.every((text) => typeof text === 'string' && text.length <= LONGEST_VALUE)
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && Math.abs(value) <= MOST_WORKERS
}
