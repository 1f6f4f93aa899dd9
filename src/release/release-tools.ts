import type { ReleaseRecord } from '../diagnostics/release-report.ts'
import type { ReleasePlan } from '../settings/release-config.ts'
import type { AppIdentity } from './app-identity.ts'
import type { BackupStore } from './backup/backup-store.ts'
import type { ReleaseVersion } from './find-version.ts'
import type { ReleaseLogLine, ReleaseRequest } from './messages.ts'
import type { ReleaseRecords } from './record/release-records.ts'

/** Writes a line of the log. `fields.event` names what happened. */
export type ReleaseLog = (level: ReleaseLogLine['level'], fields: ReleaseLogLine['fields'], message: string) => void

/** What a run works with. The lock is held by whoever calls. */
export interface ReleaseTools {
  readonly request: ReleaseRequest
  readonly plan: ReleasePlan
  readonly app: AppIdentity
  readonly version: ReleaseVersion
  readonly records: ReleaseRecords
  readonly backups: BackupStore | null
  /** Aborted when the lock is lost, or everything stops; what is wrong then is its reason. */
  readonly signal: AbortSignal
  readonly log: ReleaseLog
  readonly onRecord: (record: ReleaseRecord) => void
}
