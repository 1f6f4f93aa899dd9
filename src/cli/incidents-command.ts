import { stat } from 'node:fs/promises'
import { Command } from 'commander'
import { formatIncident } from '../diagnostics/format-incident.ts'
import { printable } from '../diagnostics/format-log-line.ts'
import type { IncidentSummary } from '../diagnostics/incident.ts'
import { IncidentFiles } from '../diagnostics/incident-files.ts'
import { wrapText } from '../diagnostics/text-table.ts'
import { UsageError } from '../errors/punctual-error.ts'
import { addStateDirFlag, readStateDir } from './control-client.ts'
import { formatJson, printAndExit } from './print.ts'

interface Options {
  readonly json?: true
  readonly stateDir?: string
}

/** How many are printed; `--json` prints all. */
const MAX_PRINTED = 20
const MAX_WIDTH = 120

/**
 * `punctual incidents [id]`: the newest incidents, or one in full. Reads the files, so that it also
 * works if the arbiter does not run or answer.
 */
export function incidentsCommand(): Command {
  const command = new Command('incidents')
    .description('print the newest incidents, or one in full')
    .argument('[id]', 'id of an incident')
    .option('--json', 'print JSON')
  return addStateDirFlag(command).action(async (id: string | undefined, options: Options) => {
    const stateDir = await readStateDir(options)
    const width = Math.min(process.stdout.columns ?? MAX_WIDTH, MAX_WIDTH)
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
    throw new UsageError(`no state directory ${stateDir}; select another with --state-dir`, {
      details: { reason: 'no-state-directory', stateDir },
    })
  }
  const incidents = await list(stateDir)
  if (options.json) return formatJson(incidents)
  return incidents.length === 0 ? `no incidents in ${stateDir}\n` : formatIncidents(incidents, width)
}

async function list(stateDir: string): Promise<readonly IncidentSummary[]> {
  try {
    return await new IncidentFiles(stateDir).list()
  } catch (error) {
    throw new UsageError(`cannot read the incidents in ${stateDir}: ${(error as Error).message}`, {
      cause: error,
      details: { reason: 'unreadable', stateDir },
    })
  }
}

async function showOne(stateDir: string, id: string, options: Options, width: number): Promise<string> {
  const incident = await new IncidentFiles(stateDir).read(id)
  if (incident === undefined) {
    throw new UsageError(`no incident ${printable(id)} in ${stateDir}; punctual incidents lists them`, {
      details: { reason: 'unknown-incident', incident: id },
    })
  }
  return options.json ? formatJson(incident) : formatIncident(incident, process.cwd(), width)
}

/** The newest incidents: a line and the summary of each, wrapped to `width`. */
export function formatIncidents(incidents: readonly IncidentSummary[], width: number): string {
  const shown = incidents.slice(0, MAX_PRINTED).map(({ id, at, outcome, summary }) => {
    const when = `${at.slice(0, 19).replace('T', ' ')} UTC`
    return `${printable(id)}  ${printable(when)}  ${printable(outcome)}\n${wrapText(printable(summary), width, '  ')}`
  })
  const rest = incidents.length - shown.length
  return `${shown.join('')}${rest > 0 ? `and ${rest} older; --json prints all\n` : ''}`
}
