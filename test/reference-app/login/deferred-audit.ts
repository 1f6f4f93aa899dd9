import { openQueue, type QueueSettings } from '../open-queue.ts'
import type { DurableQueue } from '../punctual.ts'
import type { ActivityRecord, Audit, AuditStore, Identified, SecurityRecord } from './audit.ts'

/** As the incident has them. */
const MOST_EVENTS = 1_000
const MOST_ACTIVITY = 2_000

export interface DeferredAudit extends Audit {
  readonly queues: readonly Pick<DurableQueue<never>, 'close'>[]
}

/**
 * An audit nobody waits for: what is written down here is with the kernel in microseconds, where it survives the end of this process but not a loss of power, and in its table
 * a moment later, a batch with one statement. A full queue is a warning and a counter, and no concern of whoever signs in.
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
