import { formatElapsed } from '../resilience/duration.ts'
import { printable } from './format-log-line.ts'
import type { Incident, RequestLine, StallEvidence } from './incident.ts'
import { formatKernel } from './incident-summary.ts'
import { formatFrame } from './stack-frames.ts'
import { wrapText } from './text-table.ts'

const MAX_REQUESTS = 10
const MAX_LAGS = 10

const STAGES: Readonly<Record<StallEvidence['stage'], string>> = {
  report: 'seen when it was reported',
  interrupt: 'seen before the interruption',
  kill: 'seen before the kill',
  boot: 'seen at the boot timeout',
  frozen: 'last known before it froze',
}

/** Formats a whole incident as text, in lines of about `width`. */
export function formatIncident(incident: Incident, cwd: string, width: number): string {
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
