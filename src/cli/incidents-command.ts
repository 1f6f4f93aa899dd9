import { stat } from 'node:fs/promises'
import { Command } from 'commander'
import type { Incident, IncidentSummary, RequestLine, StallEvidence } from '../diagnostics/incident.ts'
import { IncidentFiles } from '../diagnostics/incident-files.ts'
import { formatKernel } from '../diagnostics/incident-summary.ts'
import { redactIncident } from '../diagnostics/redact-incident.ts'
import { formatFrame } from '../diagnostics/stack-frames.ts'
import { wrapText } from '../diagnostics/text-table.ts'
import { UsageError } from '../errors/punctual-error.ts'
import { printable } from '../redaction/printable.ts'
import { redact } from '../redaction/redaction.ts'
import { formatElapsed } from '../resilience/duration.ts'
import { addStateDirFlag, readStateDir } from './control-client.ts'
import { formatJson, printAndExit } from './print.ts'

interface Options {
  readonly json?: true
  readonly stateDir?: string
}

/** How many are printed; `--json` prints all. */
const MAX_PRINTED = 20
const MAX_WIDTH = 120
/** In the evidence of one incident. */
const MAX_REQUESTS = 10
const MAX_LAGS = 10

const STAGES: Readonly<Record<StallEvidence['stage'], string>> = {
  report: 'seen when it was reported',
  interrupt: 'seen before the interruption',
  kill: 'seen before the kill',
  boot: 'seen at the boot timeout',
  frozen: 'last known before it froze',
}

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
  return incidents.length === 0 ? `no incidents in ${printable(stateDir)}\n` : formatIncidents(incidents, width)
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
  return options.json
    ? formatJson(redactIncident(incident))
    : formatIncident(redactIncident(incident), process.cwd(), width)
}

/** The newest incidents: a line and the summary of each, wrapped to `width`. */
export function formatIncidents(incidents: readonly IncidentSummary[], width: number): string {
  const shown = incidents.slice(0, MAX_PRINTED).map(({ id, at, outcome, summary }) => {
    const when = `${at.slice(0, 19).replace('T', ' ')} UTC`
    return `${printable(id)}  ${printable(when)}  ${printable(outcome)}\n${wrapText(printable(redact(summary)), width, '  ')}`
  })
  const rest = incidents.length - shown.length
  return `${shown.join('')}${rest > 0 ? `and ${rest} older; --json prints all\n` : ''}`
}

/** Formats a whole incident as text, in lines of about `width`. */
function formatIncident(incident: Incident, cwd: string, width: number): string {
  const { id, kind, at, worker, outcome, summary, error, truncated } = incident
  const generation = worker === null ? '' : `, generation ${worker.generation}`
  const parts = [
    `${printable(id)}\n${printable(at)}, ${printable(kind)}, ${printable(outcome)}${generation}\n\n`,
    wrapText(printable(summary), width, '  '),
    ...incident.evidence.map((evidence) => `\n${formatEvidence(evidence, cwd)}`),
    error === undefined ? '' : `\nerror\n${indent(error.stack === '' ? error.message : error.stack)}`,
    truncated === undefined ? '' : `\nleft out to keep the file small: ${truncated.join('; ')}\n`,
  ]
  return parts.join('')
}

function formatEvidence(evidence: StallEvidence, cwd: string): string {
  const { stage, stalledForMs, stack, request, inFlight, inFlightCount, memory, loopLag, allowBlocking } = evidence
  const shown = inFlight.slice(0, MAX_REQUESTS)
  const kernel = formatKernel(evidence)
  const facts = [
    kernel === '' ? '' : `doing      ${kernel}`,
    allowBlocking === null ? '' : `allowed    ${allowBlocking}`,
    request === null ? '' : `request    ${formatRequestLine(request)}`,
    `in flight  ${inFlightCount}`,
    ...shown.map((line) => `           ${formatRequestLine(line)}`),
    inFlightCount > shown.length && shown.length > 0 ? `           and ${inFlightCount - shown.length} more` : '',
    `memory     ${mebibytes(memory.rss)}, heap ${mebibytes(memory.heapUsed)} of ${mebibytes(memory.heapLimit)}`,
    loopLag.length === 0 ? '' : `loop lag   ${loopLag.slice(-MAX_LAGS).map(Math.round).join(' ')} ms, newest last`,
    stack === null ? 'stack      not available' : 'stack',
    ...(stack ?? []).map((frame) => `  at ${formatFrame(frame, cwd)}`),
  ]
  const head = `${STAGES[stage] ?? stage}, after ${formatElapsed(stalledForMs)}\n`
  return head + indent(facts.filter((fact) => fact !== '').join('\n'))
}

function formatRequestLine({ method, target, ageMs }: RequestLine): string {
  return `${method} ${target} (${formatElapsed(ageMs)})`
}

function indent(text: string): string {
  return `${text
    .split('\n')
    .map((line) => `  ${printable(line)}`)
    .join('\n')}\n`
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024)} MiB`
}
