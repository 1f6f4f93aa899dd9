import { openQueue, type QueueSettings } from '../open-queue.ts'
import type { DurableQueue } from '../punctual.ts'
import type { ActivityRecord, Audit, AuditStore, Identified, SecurityRecord } from './audit.ts'

/** The values of the incident. */
const MOST_EVENTS = 1_000
const MOST_ACTIVITY = 2_000

export interface DeferredAudit extends Audit {
  readonly queues: readonly Pick<DurableQueue<never>, 'close'>[]
}

/**
 * An audit that no request waits for. An entry is with the kernel in microseconds, where it
 * survives the end of this process but not a power failure, and is inserted a moment later, one
 * statement per batch. A full queue causes a warning and a counter, and never fails a login.
 */
export function deferAudit(store: AuditStore, settings: Pick<QueueSettings, 'stateDir' | 'log'>): DeferredAudit {
  const events = openQueue<SecurityRecord>(
    'security-event',
    (records, { ids }) => store.recordSecurityEvents(identify(records, ids)),
    { ...settings, maxItems: MOST_EVENTS },
  )
  const activity = openQueue<ActivityRecord>(
    'user-activity',
    (records, { ids }) => store.recordActivities(identify(records, ids)),
    { ...settings, maxItems: MOST_ACTIVITY },
  )
  return {
    securityEvent: (record) => void events.push(record),
    activity: (record) => void activity.push(record),
    queues: [events, activity],
  }
}

function identify<Record>(records: readonly Record[], ids: readonly string[]): Identified<Record>[] {
  return records.map((record, index) => ({ ...record, id: ids[index] ?? '' }))
}
