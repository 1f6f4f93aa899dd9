import type { Incident, IncidentSummary } from '../diagnostics/incident.ts'
import type { Status } from '../diagnostics/status.ts'
import type { SettingsControl } from './settings-control.ts'

/** What can be asked of a running arbiter, whatever asks: the control socket, the admin server. */
export interface ArbiterControl {
  /** At once, from the arbiter's own data: no worker is asked. */
  status(): Status
  /** Resolves when the new generation serves alone, or has been dropped. */
  reload(): Promise<CommandOutcome>
  /** Resolves when the change is under way. */
  scale(change: ScaleChange): Promise<CommandOutcome>
  /** Resolves when the stop is under way; that it is over shows by the socket's end. */
  stop(): Promise<CommandOutcome>
  incidents(): Promise<readonly IncidentSummary[]>
  incident(id: string): Promise<Incident | undefined>
  readonly settings: SettingsControl
}

export type ScaleChange = { readonly to: number } | { readonly by: number }

/** `code` is one of the table in `src/errors/codes.ts`; `message` a sentence for the operator. */
export type CommandOutcome =
  | { readonly ok: true; readonly message: string }
  | {
      readonly ok: false
      readonly code: string
      readonly message: string
      readonly details?: Readonly<Record<string, unknown>>
    }
