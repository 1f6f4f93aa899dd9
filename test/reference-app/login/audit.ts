import type { SecurityEvent } from '../database/schema.ts'
import type { Client } from './contract.ts'

/** Writes down who signed in and who failed to. Whether its caller waits for that is what `before` and `after` differ in. */
export interface Audit {
  securityEvent(record: SecurityRecord): Promise<void> | void
  activity(record: ActivityRecord): Promise<void> | void
}

export interface SecurityRecord {
  readonly event: SecurityEvent
  /** Null when nobody of that name is known. */
  readonly userId: number | null
  /** As it was typed. */
  readonly username: string
  readonly client: Client
  /** When it happened: ISO 8601. */
  readonly at: string
}

export interface ActivityRecord {
  readonly userId: number
  readonly activity: 'login' | 'logout'
  /** When it happened: ISO 8601. */
  readonly at: string
}

/** With the id of its row. */
export type Identified<Record> = Record & { readonly id: string }

/** Both audit tables: each method is one statement. A row that is there already stays as it is; a user who is gone by now is left out, as if he had gone afterwards. */
export interface AuditStore {
  recordSecurityEvents(records: readonly Identified<SecurityRecord>[]): Promise<void>
  recordActivities(records: readonly Identified<ActivityRecord>[]): Promise<void>
}
