import { existsSync } from 'node:fs'
import type { ReleaseRecord } from '../diagnostics/release-report.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { formatElapsed } from '../resilience/duration.ts'
import { loadConfigFile } from '../settings/config-file.ts'
import { readReleasePlan } from '../settings/read-release-plan.ts'
import type { ReleasePlan } from '../settings/release-config.ts'
import { type SettingFault, SettingsError } from '../settings/settings-error.ts'
import { type AppIdentity, identifyApp } from './app-identity.ts'
import { BackupStore } from './backup/backup-store.ts'
import { findVersion, type ReleaseVersion } from './find-version.ts'
import { openLock } from './lock/open-lock.ts'
import { type ReleaseLock, tellHolder } from './lock/release-lock.ts'
import { takeLock } from './lock/take-lock.ts'
import type { ReleaseEnd, ReleaseRequest } from './messages.ts'
import { openRecords } from './record/open-records.ts'
import type { ReleaseRecords } from './record/release-records.ts'
import { failureOf } from './release-error.ts'
import { ReleaseRun } from './release-run.ts'
import type { ReleaseTools } from './release-tools.ts'
import { rollBack } from './roll-back.ts'
import { asTheyStand, findDone } from './standing-steps.ts'

export interface Listener {
  readonly log: ReleaseTools['log']
  readonly onRecord: (version: string, record: ReleaseRecord | null) => void
}

type End = Pick<ReleaseEnd, 'outcome'> & Partial<ReleaseEnd>

/**
 * Does what is asked for: takes the lock, looks at the record again, runs or undoes.
 *
 * @throws PunctualError for what is wrong with the config file, the lock, the database; the reason of `signal` if that comes before a step
 */
export async function carryOutRequest(
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
      return whole({ outcome: 'shown', history: await records.list() })
    }
    if (plan.steps.length === 0) {
      return whole({ outcome: 'nothing', message: `${configFile} names no release steps` })
    }
    const backups = plan.backup === null ? null : new BackupStore(plan.backup, { configFile, cwd, app })
    const version = await findVersion({
      written: settings.releaseVersion,
      cwd,
      stateDir: settings.stateDir,
      packageVersion: app.packageVersion,
    })
    listener.onRecord(version.name, null)
    if (request.mode === 'run') await tellOfBackups(backups, listener)
    const askedAt = await records.now()
    const lock = await openLock(plan.lock, configFile, app)
    try {
      await take(lock, request, signal, listener)
      const ours = AbortSignal.any([signal, lock.lost])
      const onRecord = (record: ReleaseRecord): void => listener.onRecord(version.name, record)
      const tools: ReleaseTools = {
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
      await records.endLeftovers()
      const before = asTheyStand(await closeInterrupted(records, listener), await records.marks())
      ours.throwIfAborted()
      if (request.mode !== 'run') return whole(await rollBack(tools, before))
      const done = findDone(before, version, askedAt)
      if (done !== undefined && isThere(plan)) return whole(tellSkipped(version, done))
      if (done !== undefined) {
        listener.log(
          'warn',
          { event: 'release-database-missing', version: version.name },
          `release: ${version.name} has been done, but its database is gone; it is done again`,
        )
      }
      return whole(await run(tools))
    } finally {
      await lock.close()
      if (lock.lost.aborted || signal.aborted) await endSessions(request, plan, app, records)
    }
  } finally {
    await records.close()
  }
}

function whole(end: End): ReleaseEnd {
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
async function tellOfBackups(backups: BackupStore | null, { log }: Listener): Promise<void> {
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

async function take(
  lock: ReleaseLock,
  { settings }: ReleaseRequest,
  signal: AbortSignal,
  { log }: Listener,
): Promise<void> {
  await takeLock(lock, {
    limit: settings.releaseLockTimeout,
    signal,
    onWait: (holder) =>
      log(
        'info',
        { event: 'release-lock-waiting', lock: lock.where, holder },
        `release: waiting for the lock in ${lock.where}, held by ${tellHolder(holder)}`,
      ),
  })
}

/** After a lock that was lost, or a stop: what the step has asked the server for goes on there. If nobody else has the lock by now, that is ended. */
async function endSessions(
  { configFile }: ReleaseRequest,
  plan: ReleasePlan,
  app: AppIdentity,
  records: ReleaseRecords,
): Promise<void> {
  // What cannot be ended now the next release ends.
  const lock = await openLock(plan.lock, configFile, app).catch(() => null)
  try {
    if ((await lock?.tryTake()) === true) await records.endLeftovers()
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
function isThere({ lock }: ReleasePlan): boolean {
  return lock.kind !== 'sqlite' || existsSync(lock.path)
}

function tellSkipped(version: ReleaseVersion, done: ReleaseRecord): End {
  const message = `release ${version.name} has been done already, by ${done.host} at ${done.endedAt ?? done.startedAt}`
  return { outcome: 'skipped', message, version: version.name, record: done }
}

async function run(tools: ReleaseTools): Promise<End> {
  const { version, signal } = tools
  const started = monotonicNow()
  const release = await ReleaseRun.begin(tools)
  const failure = await release.carryOut()
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
