import { join } from 'node:path'
import type { DatabaseAddress } from '../../settings/release-config.ts'
import type { AppIdentity } from '../app-identity.ts'
import { FileRecords } from './file-records.ts'
import { PostgresRecords } from './postgres-records.ts'
import type { ReleaseRecords } from './release-records.ts'

/** The records that go with the address of a lock. Opens nothing yet. */
export function openRecords(
  address: DatabaseAddress,
  { configFile, stateDir, app }: { readonly configFile: string; readonly stateDir: string; readonly app: AppIdentity },
): ReleaseRecords {
  if (address.kind === 'postgres') return new PostgresRecords(configFile, address.url, app)
  if (address.kind === 'sqlite') return new FileRecords(`${address.path}-releases.jsonl`, app.name, address.path)
  const own = join(stateDir, 'release.lock')
  // Beside the lock: whoever shares that shares what has been done.
  return new FileRecords(
    address.path === own ? join(stateDir, 'releases.jsonl') : `${address.path}-releases.jsonl`,
    app.name,
    null,
  )
}
