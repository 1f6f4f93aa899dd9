import { Command } from 'commander'
import type { ReleaseRecord } from '../diagnostics/release-report.ts'
import { type Column, textTable } from '../diagnostics/text-table.ts'
import { PunctualError, UsageError } from '../errors/punctual-error.ts'
import type { ReleaseEnd, ReleaseRequest } from '../release/messages.ts'
import { startRelease } from '../release/start-release.ts'
import { formatElapsed } from '../resilience/duration.ts'
import { formatJson, printAndExit, printProgress, printProgressJson } from './print.ts'
import { addSettingsFlags, readSettings, restoreSettings } from './settings-flags.ts'

interface Options {
  readonly rollback?: true
  readonly restore?: true
  readonly history?: true
  readonly json?: true
}

/**
 * `punctual release`: runs the release steps without an arbiter, reverts them, or lists releases.
 */
export function releaseCommand(): Command {
  const command = new Command('release')
    .description(
      'run the release steps of the config file, unless this version is released; or revert the newest release',
    )
    .option('--rollback', 'revert the newest release: by the rollbacks of its steps, or its backup if so configured')
    .option('--restore', 'revert the newest release by restoring its backup: later writes are lost')
    .option('--history', 'print the releases')
    .option('--json', 'print the outcome as JSON, and the log as JSON lines on standard error')
  return addSettingsFlags(command).action(async (options: Options) => {
    const { configFile, releases: _, ...base } = await readSettings(command)
    if (configFile === null) {
      throw new UsageError(
        'no config file, and so no release steps; create punctual.config.ts, or select a file with --config',
        { details: { reason: 'no-config-file' } },
      )
    }
    const { settings } = (await restoreSettings(base)).resolved
    const mode = modeOf(options)
    const request: ReleaseRequest = { mode, configFile, cwd: process.cwd(), serving: false, settings }
    const end = await execute(request, options.json === true)
    const json = formatJson(mode === 'history' ? end.history : end)
    if (end.outcome === 'failed' || end.outcome === 'aborted') {
      if (options.json) process.stdout.write(json)
      throw new PunctualError('PUNCTUAL_RELEASE_FAILED', end.message, { details: { ...end.failure } })
    }
    await printAndExit(options.json ? json : mode === 'history' ? formatHistory(end.history) : `${end.message}\n`)
  })
}

function modeOf({ rollback, restore, history }: Options): ReleaseRequest['mode'] {
  const given = [rollback && 'rollback', restore && 'restore', history && 'history'].filter(
    (mode): mode is 'rollback' | 'restore' | 'history' => typeof mode === 'string',
  )
  if (given.length > 1)
    throw new UsageError(`--${given[0]} and --${given[1]} exclude each other; use one`, {
      details: { reason: 'exclusive', flags: given },
    })
  return given[0] ?? 'run'
}

async function execute(request: ReleaseRequest, asJson: boolean): Promise<ReleaseEnd> {
  const running = startRelease(request, {
    onLog: ({ level, fields, message }) =>
      asJson ? printProgressJson({ level, ...fields, msg: message }) : printProgress(message),
    onRecord: () => {},
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => running.abort(signal))
  return await running.ended
}

const COLUMNS: readonly (Column & { cell(record: ReleaseRecord): string })[] = [
  { heading: 'STARTED (UTC)', align: 'left', cell: ({ startedAt }) => startedAt.slice(0, 19).replace('T', ' ') },
  { heading: 'VERSION', align: 'left', cell: ({ version }) => version },
  { heading: 'OUTCOME', align: 'left', cell: formatOutcome },
  { heading: 'TOOK', align: 'right', cell: formatDurationOf },
  { heading: 'HOST', align: 'left', cell: ({ host, pid }) => `${host} (${pid})` },
  { heading: 'STEPS', align: 'left', cell: ({ steps }) => steps.map(formatStep).join(', ') || '-' },
  { heading: 'BACKUP', align: 'left', cell: ({ backup }) => backup?.path ?? '-' },
]

function formatHistory(history: readonly ReleaseRecord[]): string {
  if (history.length === 0) return 'no releases\n'
  const rows = history.map((record) => COLUMNS.map((column) => column.cell(record)))
  return textTable(COLUMNS, rows)
}

function formatOutcome({ outcome, restored }: ReleaseRecord): string {
  return restored ? `${outcome}, restored` : outcome
}

function formatDurationOf({ startedAt, endedAt }: ReleaseRecord): string {
  return endedAt === null ? '-' : formatElapsed(Date.parse(endedAt) - Date.parse(startedAt))
}

function formatStep({ name, outcome, durationMs, rollback }: ReleaseRecord['steps'][number]): string {
  const undone = rollback === null ? '' : rollback === 'done' ? ', rolled back' : ', rollback failed'
  return `${name} ${outcome} (${formatElapsed(durationMs)}${undone})`
}
