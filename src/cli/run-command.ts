import { accessSync, constants, statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { Command } from 'commander'
import { startAdminServer } from '../arbiter/admin-server.ts'
import { Arbiter, formatEnd } from '../arbiter/arbiter.ts'
import { startControlServer } from '../arbiter/control-server.ts'
import { createServiceManager } from '../arbiter/service-manager.ts'
import { setAsideSetFile } from '../arbiter/set-file.ts'
import { openStateDirectory } from '../arbiter/state-directory.ts'
import { IncidentStore } from '../diagnostics/incident-store.ts'
import { createLog } from '../diagnostics/log.ts'
import type { ErrorCode } from '../errors/codes.ts'
import { EXIT, type ExitCode } from '../errors/exit-codes.ts'
import { PunctualError, UsageError } from '../errors/punctual-error.ts'
import { ms } from '../resilience/duration.ts'
import { foreignVariables } from '../settings/foreign-variables.ts'
import { SETTING_NAMES } from '../settings/records.ts'
import type { ResolvedSettings } from '../settings/settings.ts'
import { chosenSettings } from '../settings/settings-report.ts'
import { keptValues, readKeptSettings } from './kept-settings.ts'
import { addSettingsFlags, readSettings } from './settings-flags.ts'
import { readVersion } from './version.ts'

const CODE_OF_END: Readonly<Partial<Record<ExitCode, ErrorCode>>> = {
  [EXIT.failed]: 'PUNCTUAL_INTERNAL_ERROR',
  [EXIT.crashLoop]: 'PUNCTUAL_CRASH_LOOP',
  [EXIT.releaseFailed]: 'PUNCTUAL_RELEASE_FAILED',
}
/** What is still to be written when the arbiter leaves may take this long. */
const LAST_WORDS = ms(1_000)

/** `punctual run <entry>`: puts an arbiter and its workers around an app. */
export function runCommand(): Command {
  const command = new Command('run')
    .description('run an app: workers that cannot stall in silence, and an arbiter that replaces them')
    .argument('<entry>', 'what `node <entry>` would run: JavaScript or TypeScript')
    .argument('[app arguments...]', 'after --: handed to the app')
    .usage('<entry> [flags] [-- app arguments]')
  addSettingsFlags(command)
  return command.action(async (entry: string, appArguments: readonly string[]) => {
    const extra = appArguments.length - argumentsAfterDashes()
    if (extra > 0) {
      throw new UsageError(
        `"${appArguments[0]}" comes after the entry; what the app is to get goes after --: punctual run ${entry} -- ${appArguments[0]}`,
      )
    }
    await run(entry, appArguments, await readSettings(command))
  })
}

/** Commander does not say which arguments came after `--`. */
function argumentsAfterDashes(): number {
  const at = process.argv.indexOf('--')
  return at === -1 ? 0 : process.argv.length - at - 1
}

async function run(
  entry: string,
  appArguments: readonly string[],
  {
    configFile,
    releases,
    ...base
  }: ResolvedSettings & { readonly configFile: string | null; readonly releases: boolean },
): Promise<void> {
  const kept = await readKeptSettings(base)
  const { resolved } = kept
  const { settings, origins } = resolved
  const path = entryPath(entry)
  const name = basename(path)
  const log = createLog({ level: settings.logLevel, format: settings.logFormat })
  const serviceManager = createServiceManager({ log })
  const stateDirectory = await openStateDirectory(settings.stateDir, {
    onLost: (holder) =>
      log.error(
        { event: 'state-directory-lost', holder: holder?.pid ?? null, stateDir: settings.stateDir },
        `another arbiter${holder === null ? '' : ` (pid ${holder.pid})`} has taken over ${settings.stateDir}; stop one of the two`,
      ),
  })
  const closing: (() => Promise<unknown>)[] = [() => stateDirectory.release()]
  try {
    const store = new IncidentStore({ ...settings, log })
    const arbiter = new Arbiter({
      base,
      set: kept.set,
      configFile,
      releases,
      version: readVersion(),
      name,
      log,
      store,
      serviceManager,
      cwd: process.cwd(),
      workerConfig: {
        entry: path,
        appArguments,
        appFlags: process.execArgv,
        chosen: SETTING_NAMES.filter((setting) => origins[setting].origin !== 'default'),
      },
    })
    const admin = await startAdminServer(arbiter, { host: settings.adminHost, port: settings.adminPort, log })
    closing.unshift(() => admin.close(LAST_WORDS))
    const control = await startControlServer(stateDirectory.controlSocket, arbiter, { log })
    closing.unshift(() => control.close())

    log.info(
      { event: 'punctual', version: readVersion(), node: process.versions.node, admin: admin.url },
      `punctual ${readVersion()} (arbiter pid ${process.pid}, Node ${process.versions.node}), admin on ${admin.url}`,
    )
    for (const { name: setting, value, origin, source } of [...chosenSettings(resolved), ...keptValues(kept.set)]) {
      log.info({ event: 'setting', setting, value, origin, source }, `setting ${setting} = ${value} (${source})`)
    }
    for (const { message, ...foreign } of foreignVariables(process.env, settings)) {
      log.warn({ event: 'foreign-variable', ...foreign }, message)
    }
    for (const { name: setting, value, fault, message } of kept.leftOut) {
      log.warn({ event: 'set-value-ignored', setting, value, kind: fault.kind, rule: fault.rule }, message)
    }
    if (kept.fault !== null) {
      const aside = await setAsideSetFile(settings.stateDir)
      log.warn(
        { event: 'set-file-invalid', ...kept.fault, movedTo: aside },
        `${kept.fault.path} cannot be read: ${kept.fault.why}; nothing that was set holds, and it is kept as ${aside}`,
      )
    }
    const end = await arbiter.run()
    await store.flush(LAST_WORDS)
    const failure = formatEnd(end, name, arbiter.settings.settings)
    if (failure === null) log.info({ event: 'stopped', reason: end.why }, `stopped: ${end.why}`)
    else throw new PunctualError(CODE_OF_END[end.code] ?? 'PUNCTUAL_BOOT_FAILED', failure)
  } finally {
    for (const close of closing) await close()
    await serviceManager.close(LAST_WORDS)
    await log.close(LAST_WORDS)
  }
  // Nothing is left to wait for; a timer of a library must not hold up whoever waits for us.
  process.exit(EXIT.stopped)
}

/** The entry as an absolute path. Found out here, so that no worker is started in vain. */
function entryPath(entry: string): string {
  const path = resolve(entry)
  const refuse = (what: string): PunctualError =>
    new PunctualError(
      'PUNCTUAL_ENTRY_MISSING',
      `the entry ${path} ${what}; give the file that \`node <file>\` would run`,
    )
  try {
    if (!statSync(path).isFile()) throw refuse('is no file')
    accessSync(path, constants.R_OK)
  } catch (error) {
    if (error instanceof PunctualError) throw error
    const { code } = error as NodeJS.ErrnoException
    throw refuse(code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`)
  }
  return path
}
