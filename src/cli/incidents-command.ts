import { stat } from 'node:fs/promises'
import { Command } from 'commander'
import { formatIncident } from '../diagnostics/format-incident.ts'
import { printable } from '../diagnostics/format-log-line.ts'
import type { IncidentSummary } from '../diagnostics/incident.ts'
import { IncidentFiles } from '../diagnostics/incident-files.ts'
import { wrapText } from '../diagnostics/text-table.ts'
import { UsageError } from '../errors/punctual-error.ts'
import { addStateDirFlag, readStateDir } from './control-client-options.ts'
import { printAndExit } from './print.ts'

interface Options {
  readonly json?: true
  readonly stateDir?: string
}

/** Shown without an id; `--json` has them all. */
const NEWEST = 20
const LONGEST_LINE = 120

/** `punctual incidents [id]`: the newest, or one whole. Read from the files, so it works when no arbiter runs, or a frozen one. */
export function incidentsCommand(): Command {
  const command = new Command('incidents')
    .description('Show what went wrong: the newest incidents, or one whole')
    .argument('[id]', 'an incident')
    .option('--json', 'as JSON')
  return addStateDirFlag(command).action(async (id: string | undefined, options: Options) => {
    const stateDir = await readStateDir(options)
    const width = Math.min(process.stdout.columns ?? LONGEST_LINE, LONGEST_LINE)
    await printAndExit(
      await (id === undefined ? showList(stateDir, options, width) : showOne(stateDir, id, options, width)),
    )
  })
}

async function showList(stateDir: string, options: Options, width: number): Promise<string> {
  const isDirectory = await stat(stateDir).then(
    (found) => found.isDirectory(),
    () => false,
  )
  if (!isDirectory) {
    throw new UsageError(`there is no state directory ${stateDir}; name the one you mean with --state-dir`, {
      details: { reason: 'no-state-directory', stateDir },
    })
  }
  const incidents = await list(stateDir)
  if (options.json) return `${JSON.stringify(incidents, null, 2)}\n`
  return incidents.length === 0 ? `no incidents in ${stateDir}\n` : formatIncidents(incidents, width)
}

async function list(stateDir: string): Promise<readonly IncidentSummary[]> {
  try {
    return await new IncidentFiles(stateDir).list()
  } catch (error) {
    throw new UsageError(`the incidents in ${stateDir} cannot be read: ${(error as Error).message}`, {
      cause: error,
      details: { reason: 'unreadable', stateDir },
    })
  }
}

async function showOne(stateDir: string, id: string, options: Options, width: number): Promise<string> {
  const incident = await new IncidentFiles(stateDir).read(id)
  if (incident === undefined) {
    throw new UsageError(`there is no incident ${printable(id)} in ${stateDir}; punctual incidents lists them`, {
      details: { reason: 'unknown-incident', incident: id },
    })
  }
  return options.json ? `${JSON.stringify(incident, null, 2)}\n` : formatIncident(incident, process.cwd(), width)
}

/** Two or more lines for each of the newest. */
export function formatIncidents(incidents: readonly IncidentSummary[], width: number): string {
  const shown = incidents.slice(0, NEWEST).map(({ id, at, outcome, summary }) => {
    const when = `${at.slice(0, 19).replace('T', ' ')} UTC`
    return `${printable(id)}  ${printable(when)}  ${printable(outcome)}\n${wrapText(printable(summary), width, '  ')}`
  })
  const rest = incidents.length - shown.length
  return `${shown.join('')}${rest > 0 ? `and ${rest} older; --json shows all\n` : ''}`
}
