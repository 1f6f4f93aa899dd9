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
import { type AppIdentity, findVersion, identifyApp, type ReleaseVersion } from './release-identity.ts'
import { ReleaseRun } from './release-run.ts'
import { undoNewest } from './rollback.ts'

export interface Listener {
  readonly log: ReleaseEnvironment['log']
  readonly onRecord: (version: string, record: ReleaseRecord | null) => void
}

type End = Pick<ReleaseEnd, 'outcome'> & Partial<ReleaseEnd>

/**
 * Does what is asked for: takes the lock, looks at the record again, runs or undoes.
 *
 * @throws PunctualError for what is wrong with the config file, the lock, the database; the reason of `signal` if that comes before a step
 */
export async function executeRelease(
  request: ReleaseRequest,
  signal: AbortSignal,
  listener: Listener,
): Promise<ReleaseEnd> {
  const { configFile, cwd, settings } = request
  const plan = await readPlan(request)
  const app = identifyApp(configFile)
  const records = openRecords(plan.lock, { configFile, stateDir: settings.stateDir, app })
  try {
    if (request.mode === 'history') {
      return releaseEnd({ outcome: 'shown', history: await records.list() })
    }
    if (plan.steps.length === 0) {
      return releaseEnd({ outcome: 'nothing', message: `${configFile} names no release steps` })
    }
    const backups = plan.backup === null ? null : new BackupStore(plan.backup, { configFile, cwd, app })
    const version = await findVersion({
      setting: settings.releaseVersion,
      cwd,
      stateDir: settings.stateDir,
      packageVersion: app.packageVersion,
    })
    listener.onRecord(version.name, null)
    if (request.mode === 'run') await checkBackups(backups, listener)
    const askedAt = await records.now()
    const lock = await openLock(plan.lock, configFile, app)
    try {
      await waitForLock(lock, request, signal, listener)
      const ours = AbortSignal.any([signal, lock.lost])
      const onRecord = (record: ReleaseRecord): void => listener.onRecord(version.name, record)
      const tools: ReleaseEnvironment = {
        request,
        plan,
        app,
        version,
        records,
        backups,
        signal: ours,
        log: listener.log,
        onRecord,
      }
      await records.prepare()
      await records.endLeftoverSessions()
      const before = withCurrentSteps(await closeInterrupted(records, listener), await records.marks())
      ours.throwIfAborted()
      if (request.mode !== 'run') return releaseEnd(await undoNewest(tools, before))
      const done = findCompletedRun(before, version, askedAt)
      if (done !== undefined && databaseExists(plan)) return releaseEnd(skippedEnd(version, done))
      if (done !== undefined) {
        listener.log(
          'warn',
          { event: 'release-database-missing', version: version.name },
          `release: ${version.name} has been done, but its database is gone; it is done again`,
        )
      }
      return releaseEnd(await run(tools))
    } finally {
      await lock.close()
      if (lock.lost.aborted || signal.aborted) await endStepSessions(request, plan, app, records)
    }
  } finally {
    await records.close()
  }
}

function releaseEnd(end: End): ReleaseEnd {
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

/** Whoever relies on back-ups hears at every start that there can be none, and not when one is needed. */
async function checkBackups(backups: BackupStore | null, { log }: Listener): Promise<void> {
  try {
    await backups?.check()
  } catch (error) {
    log(
      'error',
      { event: 'release-backup-unavailable', ...failureOf(error, 'backup') },
      `release: no back-up can be made: ${(error as Error).message}`,
    )
  }
}

async function waitForLock(
  lock: ReleaseLock,
  { settings }: ReleaseRequest,
  signal: AbortSignal,
  { log }: Listener,
): Promise<void> {
  await acquireLock(lock, {
    limit: settings.releaseLockTimeout,
    signal,
    onWait: (holder) =>
      log(
        'info',
        { event: 'release-lock-waiting', lock: lock.where, holder },
        `release: waiting for the lock in ${lock.where}, held by ${formatHolder(holder)}`,
      ),
  })
}

/** After a lock that was lost, or a stop: what the step has asked the server for goes on there. If nobody else has the lock by now, that is ended. */
async function endStepSessions(
  { configFile }: ReleaseRequest,
  plan: ReleasePlan,
  app: AppIdentity,
  records: ReleaseRecords,
): Promise<void> {
  // What cannot be ended now the next release ends.
  const lock = await openLock(plan.lock, configFile, app).catch(() => null)
  try {
    if ((await lock?.tryAcquire()) === true) await records.endLeftoverSessions()
  } catch {
  } finally {
    await lock?.close()
  }
}

/** Runs that nobody is at any more, since the lock is ours. */
async function closeInterrupted(records: ReleaseRecords, { log }: Listener): Promise<readonly ReleaseRecord[]> {
  const all = await records.list()
  const closed: ReleaseRecord[] = []
  for (const record of all) {
    if (record.outcome !== 'running') {
      closed.push(record)
      continue
    }
    const why = 'whoever ran it has ended without a word'
    const interrupted: ReleaseRecord = { ...record, outcome: 'interrupted', endedAt: await records.now(), why }
    await records.save(interrupted)
    closed.push(interrupted)
    const { version, host, pid } = record
    log(
      'warn',
      { event: 'release-interrupted', version, host, pid },
      `release: the run of ${version} by ${host} (pid ${pid}) was interrupted`,
    )
  }
  return closed
}

/** The record of SQLite is a file beside it, which stays when somebody removes the database to begin anew. */
function databaseExists({ lock }: ReleasePlan): boolean {
  return lock.kind !== 'sqlite' || existsSync(lock.path)
}

function skippedEnd(version: ReleaseVersion, done: ReleaseRecord): End {
  const message = `release ${version.name} has been done already, by ${done.host} at ${done.endedAt ?? done.startedAt}`
  return { outcome: 'skipped', message, version: version.name, record: done }
}

async function run(tools: ReleaseEnvironment): Promise<End> {
  const { version, signal } = tools
  const started = monotonicNow()
  const release = await ReleaseRun.begin(tools)
  const failure = await release.execute()
  const { record } = release
  if (failure !== null) {
    const { message, details } = failure
    return { outcome: signal.aborted ? 'aborted' : 'failed', message, failure: details, version: version.name, record }
  }
  const steps = record.steps.length === 1 ? '1 step' : `${record.steps.length} steps`
  const took = formatElapsed(monotonicNow() - started)
  return {
    outcome: 'done',
    message: `release ${version.name} is done: ${steps} after ${took}`,
    version: version.name,
    record,
  }
}

/** The lock that goes with an address; it is not taken yet. */
function openLock(address: DatabaseAddress, configFile: string, app: AppIdentity): Promise<ReleaseLock> {
  if (address.kind === 'postgres') return PostgresLock.open(configFile, address.url, app)
  return FileLock.open(address.kind === 'file' ? address.path : `${address.path}-release.lock`)
}

/** The records that go with the address of a lock. Opens nothing yet. */
function openRecords(
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
