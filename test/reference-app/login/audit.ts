import type { SecurityEvent } from '../database/schema.ts'
import type { Client } from './contract.ts'

/** Records successful and failed logins. `before` waits for it, `after` does not. */
export interface Audit {
  securityEvent(record: SecurityRecord): Promise<void> | void
  activity(record: ActivityRecord): Promise<void> | void
}

export interface SecurityRecord {
  readonly event: SecurityEvent
  /** Null if the name is unknown. */
  readonly userId: number | null
  /** As entered. */
  readonly username: string
  readonly client: Client
  /** ISO 8601. */
  readonly at: string
}

export interface ActivityRecord {
  readonly userId: number
  readonly activity: 'login' | 'logout'
  /** ISO 8601. */
  readonly at: string
}

/** An entry with the id of its row. */
export type Identified<Record> = Record & { readonly id: string }

/**
 * Both audit tables. Each method is one statement. Existing rows stay unchanged; rows of deleted
 * users are skipped.
 */
export interface AuditStore {
  recordSecurityEvents(records: readonly Identified<SecurityRecord>[]): Promise<void>
  recordActivities(records: readonly Identified<ActivityRecord>[]): Promise<void>
}
