import type { DatabaseAddress } from '../../settings/release-config.ts'
import type { AppIdentity } from '../app-identity.ts'
import { FileLock } from './file-lock.ts'
import { PostgresLock } from './postgres-lock.ts'
import type { ReleaseLock } from './release-lock.ts'

/** The lock that goes with an address; it is not taken yet. */
export function openLock(address: DatabaseAddress, configFile: string, app: AppIdentity): Promise<ReleaseLock> {
  if (address.kind === 'postgres') return PostgresLock.open(configFile, address.url, app)
  return FileLock.open(address.kind === 'file' ? address.path : `${address.path}-release.lock`)
}
