import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ReleaseRecord } from '../diagnostics/release-report.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { formatElapsed } from '../resilience/duration.ts'
import { loadConfigFile } from '../settings/config-file.ts'
import { type SettingFault, SettingsError } from '../settings/settings-error.ts'
import { findCompletedRun, withCurrentSteps } from './applied-steps.ts'
import { BackupStore } from './backup/backup-store.ts'
import { FileLock } from './lock/file-lock.ts'
import { PostgresLock } from './lock/postgres-lock.ts'
import { acquireLock, formatHolder, type ReleaseLock } from './lock/release-lock.ts'
import type { ReleaseEnd, ReleaseRequest } from './messages.ts'
import { readReleasePlan } from './read-release-plan.ts'
import { FileRecords } from './record/file-records.ts'
import { PostgresRecords } from './record/postgres-records.ts'
import type { ReleaseRecords } from './record/release-records.ts'
import type { DatabaseAddress, ReleasePlan } from './release-config.ts'
import type { ReleaseEnvironment } from './release-environment.ts'
import { failureOf } from './release-error.ts'
import { type AppIdentity, findVersion, identifyApp } from './release-identity.ts'
import { ReleaseRun } from './release-run.ts'
import { undoNewest } from './rollback.ts'

export interface ReleaseEvents {
  readonly log: ReleaseEnvironment['log']
  /** Called whenever the record changes; null before the run starts. */
  readonly onRecord: (version: string, record: ReleaseRecord | null) => void
}

type PartialEnd = Pick<ReleaseEnd, 'outcome'> & Partial<ReleaseEnd>

/**
 * Executes a request: acquires the lock, reads the records again, then runs or undoes a release.
 *
 * @throws PunctualError if the config file, the lock or the database is at fault; the reason of
 *   `signal` if it is aborted before the first step
 */
export async function executeRelease(
  request: ReleaseRequest,
  signal: AbortSignal,
  events: ReleaseEvents,
): Promise<ReleaseEnd> {
  const { configFile, cwd, settings } = request
  const plan = await readPlan(request)
  const app = identifyApp(configFile)
  const records = openRecords(plan.lock, settings.stateDir, configFile, app)
  try {
    if (request.mode === 'history') return completeEnd({ outcome: 'shown', history: await records.list() })
    if (plan.steps.length === 0) {
      return completeEnd({ outcome: 'nothing', message: `${configFile} has no release steps` })
    }
    const backups = plan.backup === null ? null : new BackupStore(plan.backup, { configFile, cwd, app })
    const version = await findVersion({
      setting: settings.releaseVersion,
      cwd,
      stateDir: settings.stateDir,
      packageVersion: app.packageVersion,
    })
    events.onRecord(version.name, null)
    if (request.mode === 'run') await checkBackups(backups, events)
    const requestedAt = await records.now()
    const lock = await openLock(plan.lock, configFile, app)
    try {
      await acquireLock(lock, {
        timeout: settings.releaseLockTimeout,
        signal,
        onWait: (holder) =>
          events.log(
            'info',
            { event: 'release-lock-waiting', lock: lock.where, holder },
            `release: waiting for the lock in ${lock.where}, held by ${formatHolder(holder)}`,
          ),
        onUnavailable: (error) =>
          events.log(
            'warn',
            { event: 'release-lock-unavailable', lock: lock.where, ...failureOf(error, 'lock') },
            `release: lost the connection to ${lock.where} while waiting for the lock; retrying: ${(error as Error).message}`,
          ),
      })
      const environment: ReleaseEnvironment = {
        request,
        plan,
        app,
        version,
        records,
        backups,
        signal: AbortSignal.any([signal, lock.lost]),
        log: events.log,
        onRecord: (record) => events.onRecord(version.name, record),
      }
      return completeEnd(await executeLocked(environment, requestedAt))
    } finally {
      await lock.close()
      if (lock.lost.aborted || signal.aborted) await endStepSessions(plan, configFile, app, records)
    }
  } finally {
    await records.close()
  }
}

async function executeLocked(environment: ReleaseEnvironment, requestedAt: string): Promise<PartialEnd> {
  const { request, plan, version, records, signal, log } = environment
  await records.prepare()
  await records.endLeftoverSessions()
  const past = withCurrentSteps(await closeInterrupted(environment), await records.marks())
  signal.throwIfAborted()
  if (request.mode !== 'run') return await undoNewest(environment, past)
  const done = findCompletedRun(past, version, requestedAt)
  if (done !== undefined && databaseExists(plan)) {
    const at = done.endedAt ?? done.startedAt
    const message = `release ${version.name} is already done (by ${done.host} at ${at})`
    return { outcome: 'skipped', message, version: version.name, record: done }
  }
  if (done !== undefined) {
    log(
      'warn',
      { event: 'release-database-missing', version: version.name },
      `release: the database of ${version.name} no longer exists; running the release again`,
    )
  }
  return await run(environment)
}

async function run(environment: ReleaseEnvironment): Promise<PartialEnd> {
  const { version, signal } = environment
  const start = monotonicNow()
  const release = await ReleaseRun.begin(environment)
  const failure = await release.execute()
  const { record } = release
  if (failure !== null) {
    const { message, details } = failure
    return { outcome: signal.aborted ? 'aborted' : 'failed', message, failure: details, version: version.name, record }
  }
  const steps = record.steps.length === 1 ? '1 step' : `${record.steps.length} steps`
  const message = `release ${version.name} completed: ${steps} in ${formatElapsed(monotonicNow() - start)}`
  return { outcome: 'done', message, version: version.name, record }
}

function completeEnd(end: PartialEnd): ReleaseEnd {
  return { message: '', failure: null, version: null, record: null, history: [], ...end }
}

async function readPlan({ configFile, cwd, settings }: ReleaseRequest): Promise<ReleasePlan> {
  const file = await loadConfigFile({ cwd, named: configFile })
  const faults: SettingFault[] = []
  const { stateDir, releaseTimeout } = settings
  const plan = readReleasePlan(
    file?.values ?? {},
    { file: file?.name ?? configFile, cwd, env: process.env, stateDir, releaseTimeout },
    faults,
  )
  if (faults.length > 0) throw new SettingsError(faults)
  return plan
}

/**
 * Logs at every start if no backup can be made, so that this does not first show when one is
 * needed.
 */
async function checkBackups(backups: BackupStore | null, { log }: ReleaseEvents): Promise<void> {
  try {
    await backups?.check()
  } catch (error) {
    log(
      'error',
      { event: 'release-backup-unavailable', ...failureOf(error, 'backup') },
      `release: cannot make backups: ${(error as Error).message}`,
    )
  }
}

/**
 * After the lock was lost or Punctual stopped: the server still executes what a killed step asked
 * for. Ends that, unless another release holds the lock by now.
 */
async function endStepSessions(
  plan: ReleasePlan,
  configFile: string,
  app: AppIdentity,
  records: ReleaseRecords,
): Promise<void> {
  const lock = await openLock(plan.lock, configFile, app).catch(() => null)
  try {
    if ((await lock?.tryAcquire()) === true) await records.endLeftoverSessions()
  } catch {
    // The next release ends them.
  } finally {
    await lock?.close()
  }
}

/** Marks unfinished runs as interrupted: we hold the lock, so their processes are gone. */
async function closeInterrupted({ records, log }: ReleaseEnvironment): Promise<readonly ReleaseRecord[]> {
  const closed: ReleaseRecord[] = []
  for (const record of await records.list()) {
    if (record.outcome !== 'running') {
      closed.push(record)
      continue
    }
    const why = 'its process exited without recording an outcome'
    const interrupted: ReleaseRecord = { ...record, outcome: 'interrupted', endedAt: await records.now(), why }
    await records.save(interrupted)
    closed.push(interrupted)
    const { version, host, pid } = record
    log(
      'warn',
      { event: 'release-interrupted', version, host, pid },
      `release: the run of ${version} on ${host} (pid ${pid}) was interrupted`,
    )
  }
  return closed
}

/** The records of SQLite are in a file beside it, which remains when the database is deleted. */
function databaseExists({ lock }: ReleasePlan): boolean {
  return lock.kind !== 'sqlite' || existsSync(lock.path)
}

/** Opens the lock of an address without acquiring it. */
function openLock(address: DatabaseAddress, configFile: string, app: AppIdentity): Promise<ReleaseLock> {
  if (address.kind === 'postgres') return PostgresLock.open(configFile, address.url, app)
  return FileLock.open(address.kind === 'file' ? address.path : `${address.path}-release.lock`)
}

/** The records are kept where the lock is: processes that share the lock share the records. */
function openRecords(address: DatabaseAddress, stateDir: string, configFile: string, app: AppIdentity): ReleaseRecords {
  if (address.kind === 'postgres') return new PostgresRecords(configFile, address.url, app)
  if (address.kind === 'sqlite') return new FileRecords(`${address.path}-releases.jsonl`, app.name, address.path)
  const isDefault = address.path === join(stateDir, 'release.lock')
  const path = isDefault ? join(stateDir, 'releases.jsonl') : `${address.path}-releases.jsonl`
  return new FileRecords(path, app.name, null)
}
