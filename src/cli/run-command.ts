import { accessSync, constants, readFileSync, statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { type AdminServer, startAdminServer } from '../arbiter/admin-server.ts'
import { Arbiter } from '../arbiter/arbiter.ts'
import type { ArbiterControl } from '../arbiter/arbiter-control.ts'
import { type ArbiterEnd, formatEnd } from '../arbiter/arbiter-end.ts'
import { startControlServer } from '../arbiter/control-server.ts'
import { createServiceManager } from '../arbiter/service-manager.ts'
import { setAsideSetFile } from '../arbiter/set-file.ts'
import { surviveSignals } from '../arbiter/signals.ts'
import { openStateDirectory } from '../arbiter/state-directory.ts'
import { IncidentStore } from '../diagnostics/incident-store.ts'
import { createLog, type Log } from '../diagnostics/log.ts'
import { type ErrorCode, EXIT, type ExitCode } from '../errors/codes.ts'
import { PunctualError, UsageError } from '../errors/punctual-error.ts'
import { formatDuration, ms } from '../resilience/duration.ts'
import { autoWorkers } from '../settings/container-limits.ts'
import { overriddenInEnvFiles } from '../settings/env-files.ts'
import { foreignVariables } from '../settings/foreign-variables.ts'
import { SETTING_NAMES } from '../settings/records.ts'
import type { Settings } from '../settings/settings.ts'
import { chosenSettings } from '../settings/settings-report.ts'
import { Installation } from '../system/installation.ts'
import { mayInspect, missingPermissions } from '../system/permissions.ts'
import { deploymentLink, workingDirectory } from '../system/working-directory.ts'
import { leaveInitProcess } from './init-process.ts'
import { refuseLauncher } from './launcher.ts'
import {
  addSettingsFlags,
  type CommandSettings,
  readSettings,
  restoredValues,
  restoreSettings,
} from './settings-flags.ts'

const CODE_OF_END: Readonly<Partial<Record<ExitCode, ErrorCode>>> = {
  [EXIT.failed]: 'PUNCTUAL_INTERNAL_ERROR',
  [EXIT.crashLoop]: 'PUNCTUAL_CRASH_LOOP',
  [EXIT.releaseFailed]: 'PUNCTUAL_RELEASE_FAILED',
}
/** The directory of this package, which workers load. */
const PACKAGE = fileURLToPath(new URL('../..', import.meta.url))

function codeOf({ code, stopFailures }: ArbiterEnd): ErrorCode {
  if (code === EXIT.failed && stopFailures.length > 0) return 'PUNCTUAL_STOP_FAILED'
  return CODE_OF_END[code] ?? 'PUNCTUAL_BOOT_FAILED'
}

/** Maximum time to write incidents, log and answers when the arbiter exits. */
const FLUSH_TIMEOUT = ms(1_000)

/** `punctual run <entry>`: runs an app in workers that an arbiter supervises. */
export function runCommand(): Command {
  const command = new Command('run')
    .description('run an app: workers that report stalls, and an arbiter that replaces failed workers')
    .argument('<entry>', 'the file that `node <entry>` would run: JavaScript or TypeScript')
    .argument('[app arguments...]', 'after --: arguments of the app')
    .usage('<entry> [flags] [-- app arguments]')
  addSettingsFlags(command)
  return command.action(async (entry: string, appArguments: readonly string[]) => {
    leaveInitProcess()
    refuseLauncher(entry, appArguments)
    const extra = appArguments.length - argumentsAfterDashes()
    if (extra > 0) {
      throw new UsageError(
        `unexpected argument "${appArguments[0]}"; arguments of the app follow --: punctual run ${entry} -- ${appArguments[0]}`,
      )
    }
    await run(entry, appArguments, await readSettings(command))
  })
}

/** Commander does not report which arguments follow `--`. */
function argumentsAfterDashes(): number {
  const at = process.argv.indexOf('--')
  return at === -1 ? 0 : process.argv.length - at - 1
}

async function run(
  entry: string,
  appArguments: readonly string[],
  { configFile, releases, ...base }: CommandSettings,
): Promise<void> {
  surviveSignals({ stop: false })
  const restored = await restoreSettings(base)
  const { resolved } = restored
  const { settings, origins } = resolved
  const cwd = workingDirectory()
  requirePermissions(cwd, settings.stateDir, entry)
  const installation = new Installation(cwd)
  const path = entryPath(cwd, entry)
  const name = basename(path)
  const log = createLog({ level: settings.logLevel, format: settings.logFormat })
  const serviceManager = createServiceManager({ log })
  const stateDirectory = await openStateDirectory(settings.stateDir, {
    onWait: (holder, timeout) =>
      log.info(
        {
          event: 'state-directory-waiting',
          holder: holder.pid,
          hostname: holder.hostname,
          stateDir: settings.stateDir,
        },
        `waiting up to ${formatDuration(timeout)} to see whether another arbiter still uses ${settings.stateDir}`,
      ),
    onLost: (holder) =>
      log.error(
        { event: 'state-directory-lost', holder: holder?.pid ?? null, stateDir: settings.stateDir },
        `another arbiter${holder === null ? '' : ` (pid ${holder.pid})`} took over ${settings.stateDir}; stop one of the two`,
      ),
  })
  const closing: (() => Promise<unknown>)[] = [() => stateDirectory.release()]
  try {
    const store = new IncidentStore({ ...settings, log })
    const arbiter = new Arbiter({
      base,
      set: restored.set,
      configFile,
      releases,
      version: readVersion(),
      name,
      log,
      store,
      serviceManager,
      cwd,
      installation,
      workerConfig: {
        entry: path,
        appArguments,
        appFlags: process.execArgv,
        chosen: SETTING_NAMES.filter((setting) => origins[setting].origin !== 'default'),
      },
    })
    const admin = await startAdminServer(arbiter, {
      host: settings.adminHost,
      port: settings.adminPort,
      orFree: origins.adminPort.origin === 'default',
      hosts: settings.adminHosts,
      log,
    })
    closing.unshift(() => admin.close(FLUSH_TIMEOUT))
    const probes = await startProbes(arbiter, settings, log)
    if (probes !== null) closing.unshift(() => probes.close(FLUSH_TIMEOUT))
    const control = await startControlServer(stateDirectory.controlSocket, arbiter, { log })
    closing.unshift(() => control.close())

    log.info(
      { event: 'punctual', version: readVersion(), node: process.versions.node, admin: admin.url },
      `punctual ${readVersion()} (arbiter pid ${process.pid}, Node ${process.versions.node}), admin on ${admin.url}`,
    )
    if (probes !== null) {
      log.info({ event: 'probes', probes: probes.url }, `probes (/livez, /readyz) on ${probes.url}`)
    }
    if (!isLoopback(settings.adminHost)) {
      log.warn(
        { event: 'admin-exposed', adminHost: settings.adminHost },
        `everyone who can connect to ${admin.url} can read status and incidents; for probes from outside use --probe-port`,
      )
    }
    if (!mayInspect()) {
      log.info(
        { event: 'no-inspector' },
        'node --permission denies the inspector: stalls are reported without a stack, and end with the kill of the worker (see --allow-inspector)',
      )
    }
    const link = deploymentLink(cwd)
    if (link !== null) {
      log.info(
        { event: 'deployment-link', link, stateDir: settings.stateDir },
        `each reload serves what ${link} points to then; the state directory is ${settings.stateDir}`,
      )
    }
    for (const { name: setting, value, origin, source } of [
      ...chosenSettings(resolved),
      ...restoredValues(restored.set),
    ]) {
      log.info({ event: 'setting', setting, value, origin, source }, `setting ${setting} = ${value} (${source})`)
    }
    const auto = autoWorkers()
    if (origins.workers.written === 'auto' && auto.workers < auto.cpus) {
      log.info(
        { event: 'workers-limited', ...auto },
        `workers = ${auto.workers} for ${Math.round(auto.memory / 2 ** 20)} MiB of memory; ${auto.cpus} CPUs would allow more (set --workers to choose)`,
      )
    }
    for (const { message, ...overridden } of overriddenInEnvFiles(cwd, process.env, settings, origins)) {
      log.warn({ event: 'variable-overridden', ...overridden }, message)
    }
    for (const { message, ...foreign } of foreignVariables(process.env, settings)) {
      log.warn({ event: 'foreign-variable', ...foreign }, message)
    }
    for (const { name: setting, value, fault, message } of restored.leftOut) {
      log.warn({ event: 'set-value-ignored', setting, value, kind: fault.kind, rule: fault.rule }, message)
    }
    if (restored.fault !== null) {
      const aside = await setAsideSetFile(settings.stateDir)
      log.warn(
        { event: 'set-file-invalid', ...restored.fault, movedTo: aside },
        `cannot read ${restored.fault.path}: ${restored.fault.why}; ignoring all values that were set, moved it to ${aside}`,
      )
    }
    const running = arbiter.run()
    surviveSignals({ stop: true })
    const end = await running
    await store.flush(FLUSH_TIMEOUT)
    const failure = formatEnd(end, name, arbiter.settings.settings)
    if (failure === null) log.info({ event: 'stopped', reason: end.why }, `stopped: ${end.why}`)
    else throw new PunctualError(codeOf(end), failure)
  } finally {
    for (const close of closing) await close()
    await serviceManager.close(FLUSH_TIMEOUT)
    await log.close(FLUSH_TIMEOUT)
  }
  // A timer of a library must not keep the process alive.
  process.exit(EXIT.stopped)
}

/** Starts the server for probes if the operator wants one. */
async function startProbes(control: ArbiterControl, settings: Settings, log: Log): Promise<AdminServer | null> {
  const { probePort: port, probeHost: host, probeMetrics, adminHosts: hosts } = settings
  if (port === 'off') return null
  const pages = probeMetrics === 'on' ? 'probes-and-metrics' : 'probes'
  const names = { port: 'probePort', host: 'probeHost' } as const
  return await startAdminServer(control, { host, port, hosts, pages, settings: names, log })
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.')
}

/** Refuses the start if `node --permission` denies what every start needs. */
function requirePermissions(cwd: string, stateDir: string, entry: string): void {
  const missing = missingPermissions({ read: [PACKAGE, resolve(cwd, entry), stateDir], write: [stateDir] })
  if (missing.length === 0) return
  throw new PunctualError('PUNCTUAL_PERMISSION_MISSING', `under node --permission, add ${missing.join(' ')}`, {
    details: { missing },
  })
}

/** The absolute path of the entry. Checked before any worker starts. */
function entryPath(cwd: string, entry: string): string {
  const path = resolve(cwd, entry)
  const refuse = (what: string): PunctualError =>
    new PunctualError('PUNCTUAL_ENTRY_MISSING', `entry ${path} ${what}; use the file that \`node <file>\` would run`)
  try {
    if (!statSync(path).isFile()) throw refuse('is not a file')
    accessSync(path, constants.R_OK)
  } catch (error) {
    if (error instanceof PunctualError) throw error
    const { code } = error as NodeJS.ErrnoException
    throw refuse(code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`)
  }
  return path
}

/** Punctual's own version, from its package.json. */
export function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
