import { Command } from 'commander'
import { printable } from '../diagnostics/format-log-line.ts'
import type { ReleaseRecord } from '../diagnostics/release-report.ts'
import { type Column, textTable } from '../diagnostics/text-table.ts'
import { PunctualError, UsageError } from '../errors/punctual-error.ts'
import type { ReleaseEnd, ReleaseRequest } from '../release/messages.ts'
import { startRelease } from '../release/start-release.ts'
import { formatElapsed } from '../resilience/duration.ts'
import { readKeptSettings } from './kept-settings.ts'
import { printAndExit, printProgress } from './print.ts'
import { addSettingsFlags, readSettings } from './settings-flags.ts'

interface Options {
  readonly rollback?: true
  readonly restore?: true
  readonly history?: true
  readonly json?: true
}

/** `punctual release`: the release steps alone, without an arbiter; their roll-back; what has been released. */
export function releaseCommand(): Command {
  const command = new Command('release')
    .description('Run the release steps of the config file, unless this version has been released; or undo the newest')
    .option('--rollback', 'undo the newest release: by the roll-backs of its steps, or its back-up where that is set')
    .option('--restore', 'undo the newest release by its back-up: what was written since is lost')
    .option('--history', 'show what has been released')
    .option('--json', 'print the outcome as JSON, and what is done meanwhile as JSON lines on standard error')
  return addSettingsFlags(command).action(async (options: Options) => {
    const { configFile, releases: _, ...base } = await readSettings(command)
    if (configFile === null) {
      throw new UsageError(
        'there is no config file, and so there are no release steps; write punctual.config.ts, or name yours with --config',
        { details: { reason: 'no-config-file' } },
      )
    }
    const { settings } = (await readKeptSettings(base)).resolved
    const mode = modeOf(options)
    const request: ReleaseRequest = { mode, configFile, cwd: process.cwd(), serving: false, settings }
    const end = await carryOut(request, options.json === true)
    const json = `${JSON.stringify(mode === 'history' ? end.history : end, null, 2)}\n`
    if (end.outcome === 'failed' || end.outcome === 'aborted') {
      if (options.json) process.stdout.write(json)
      throw new PunctualError('PUNCTUAL_RELEASE_FAILED', end.message, { details: { ...end.failure } })
    }
    await printAndExit(options.json ? json : mode === 'history' ? tellHistory(end.history) : `${end.message}\n`)
  })
}

function modeOf({ rollback, restore, history }: Options): ReleaseRequest['mode'] {
  const given = [rollback && 'rollback', restore && 'restore', history && 'history'].filter(
    (mode): mode is 'rollback' | 'restore' | 'history' => typeof mode === 'string',
  )
  if (given.length > 1)
    throw new UsageError(`--${given[0]} and --${given[1]} do not go together; choose one`, {
      details: { reason: 'exclusive', flags: given },
    })
  return given[0] ?? 'run'
}

async function carryOut(request: ReleaseRequest, asJson: boolean): Promise<ReleaseEnd> {
  const running = startRelease(request, {
    onLog: ({ level, fields, message }) =>
      printProgress(asJson ? JSON.stringify({ level, ...fields, msg: message }) : message),
    onRecord: () => {},
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => running.abort(signal))
  return await running.ended
}

const COLUMNS: readonly (Column & { cell(record: ReleaseRecord): string })[] = [
  { heading: 'STARTED (UTC)', align: 'left', cell: ({ startedAt }) => startedAt.slice(0, 19).replace('T', ' ') },
  { heading: 'VERSION', align: 'left', cell: ({ version }) => version },
  { heading: 'OUTCOME', align: 'left', cell: tellOutcome },
  { heading: 'TOOK', align: 'right', cell: tellTook },
  { heading: 'HOST', align: 'left', cell: ({ host, pid }) => `${host} (${pid})` },
  { heading: 'STEPS', align: 'left', cell: ({ steps }) => steps.map(tellStep).join(', ') || '-' },
  { heading: 'BACK-UP', align: 'left', cell: ({ backup }) => backup?.path ?? '-' },
]

function tellHistory(history: readonly ReleaseRecord[]): string {
  if (history.length === 0) return 'nothing has been released yet\n'
  const rows = history.map((record) => COLUMNS.map((column) => printable(column.cell(record))))
  return textTable(COLUMNS, rows)
}

function tellOutcome({ outcome, restored }: ReleaseRecord): string {
  return restored ? `${outcome}, restored` : outcome
}

function tellTook({ startedAt, endedAt }: ReleaseRecord): string {
  return endedAt === null ? '-' : formatElapsed(Date.parse(endedAt) - Date.parse(startedAt))
}

function tellStep({ name, outcome, durationMs, rollback }: ReleaseRecord['steps'][number]): string {
  const undone = rollback === null ? '' : rollback === 'done' ? ', rolled back' : ', roll-back failed'
  return `${name} ${outcome} (${formatElapsed(durationMs)}${undone})`
}
