import { Command } from 'commander'
import type { SettingsInForce } from '../arbiter/arbiter-control.ts'
import { EXIT } from '../errors/exit-codes.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import { ms } from '../resilience/duration.ts'
import { SETTING_NAMES } from '../settings/records.ts'
import { formatSettings, type SettingsReport, settingsReport } from '../settings/settings-report.ts'
import { askArbiter } from './control-client.ts'
import { readKeptSettings } from './kept-settings.ts'
import { printError, printProgress } from './print.ts'
import { addSettingsFlags, readSettings } from './settings-flags.ts'
import { changedAtNextStart, tellDeclared, tellNextStart } from './tell-config.ts'

/** Long enough for an arbiter that lives, short enough for somebody who waits for a page of text. */
const ASK_LIMIT = ms(3_000)

/**
 * `punctual config`: every setting with its origin, and the rules. Of the arbiter that runs on the state directory, if one does and no
 * setting is given as a flag; else as `punctual run` would have them with the same flags.
 */
export function configCommand(): Command {
  const command = new Command('config')
    .description('Print every setting, where it comes from, and the rules between them')
    .option('--json', 'as JSON')
  return addSettingsFlags(command).action(async (options: { readonly json?: true }) => {
    const { configFile, releases: _, ...base } = await readSettings(command)
    const kept = await readKeptSettings(base)
    const next = settingsReport(kept.resolved, configFile)
    const running = isPreview(command) ? null : await askRunning(base.settings.stateDir)
    if (kept.fault !== null) printProgress(`punctual: ${kept.fault.path} cannot be read: ${kept.fault.why}`)
    for (const { message } of kept.leftOut) printProgress(`punctual: ${message}`)
    const text = options.json ? tellJson(next, running) : tellText(next, running)
    // A config file may have left something open (a connection, a timer); it must not keep a command that only prints.
    process.stdout.write(text, () => process.exit(EXIT.stopped))
  })
}

/** Somebody tries flags out: which arbiter is meant is no setting of a trial. */
function isPreview(command: Command): boolean {
  return SETTING_NAMES.some((name) => name !== 'stateDir' && command.getOptionValueSource(name) === 'cli')
}

/** Null where none runs. One that does not answer is said, and the rest is shown all the same. */
async function askRunning(stateDir: string): Promise<SettingsInForce | null> {
  try {
    const limits = { silenceTimeout: ASK_LIMIT, limit: ASK_LIMIT }
    return await askArbiter(stateDir, { command: 'settings' }, limits)
  } catch (error) {
    if (!(error instanceof PunctualError)) throw error
    if (error.code !== 'PUNCTUAL_ARBITER_NOT_RUNNING') printError(error)
    return null
  }
}

function tellJson(next: SettingsReport, running: SettingsInForce | null): string {
  const report = running === null ? next : { ...running, nextStart: changedAtNextStart(running, next) }
  return `${JSON.stringify(report, null, 2)}\n`
}

function tellText(next: SettingsReport, running: SettingsInForce | null): string {
  if (running === null) return formatSettings(next)
  return [
    `in force in the arbiter with pid ${running.pid}`,
    formatSettings(running),
    ...tellDeclared(running),
    ...tellNextStart(running, next),
  ].join('\n')
}
