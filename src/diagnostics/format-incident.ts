import { formatElapsed } from '../resilience/duration.ts'
import { formatKernel } from './format-evidence.ts'
import { printable } from './format-log-line.ts'
import type { Incident, RequestLine, StallEvidence } from './incident.ts'
import { formatFrame } from './stack-frames.ts'
import { wrapText } from './text-table.ts'

const REQUESTS_SHOWN = 10

/** A whole incident as a person reads it, in lines of about `width`. */
export function formatIncident(incident: Incident, cwd: string, width: number): string {
  const { id, kind, at, worker, outcome, summary, error, truncated } = incident
  const about = worker === null ? '' : `, generation ${worker.generation}`
  const parts = [
    `${printable(id)}\n${printable(at)}, ${printable(kind)}, ${printable(outcome)}${about}\n\n`,
    wrapText(printable(summary), width, '  '),
    ...incident.evidence.map((evidence) => `\n${tellEvidence(evidence, cwd)}`),
    error === undefined ? '' : `\nerror\n${indented(error.stack === '' ? error.message : error.stack)}`,
    truncated === undefined ? '' : `\nleft out to keep the file small: ${truncated.join('; ')}\n`,
  ]
  return parts.join('')
}

const STAGES: Readonly<Record<StallEvidence['stage'], string>> = {
  report: 'seen when it was reported',
  interrupt: 'seen before the cut',
  kill: 'seen before the kill',
  boot: 'seen when the boot limit ran out',
  frozen: 'last known before it froze',
}

function tellEvidence(evidence: StallEvidence, cwd: string): string {
  const { stage, stalledForMs, stack, request, inFlight, inFlightCount, memory, loopLag, allowBlocking } = evidence
  const shown = inFlight.slice(0, REQUESTS_SHOWN)
  const kernel = formatKernel(evidence)
  const facts = [
    kernel === '' ? '' : `doing      ${kernel}`,
    allowBlocking === null ? '' : `long turn  ${allowBlocking}`,
    request === null ? '' : `request    ${tellLine(request)}`,
    `in flight  ${inFlightCount}`,
    ...shown.map((line) => `           ${tellLine(line)}`),
    inFlightCount > shown.length && shown.length > 0 ? `           and ${inFlightCount - shown.length} more` : '',
    `memory     ${mebibytes(memory.rss)}, heap ${mebibytes(memory.heapUsed)} of ${mebibytes(memory.heapLimit)}`,
    loopLag.length === 0 ? '' : `loop lag   ${loopLag.slice(-10).map(Math.round).join(' ')} ms, the newest last`,
    stack === null ? 'stack      none could be had' : 'stack',
    ...(stack ?? []).map((frame) => `  at ${formatFrame(frame, cwd)}`),
  ]
  const head = `${STAGES[stage] ?? stage}, after ${formatElapsed(stalledForMs)}\n`
  return head + indented(facts.filter((fact) => fact !== '').join('\n'))
}

function tellLine({ method, target, ageMs }: RequestLine): string {
  return `${method} ${target} (${formatElapsed(ageMs)})`
}

function indented(text: string): string {
  return `${text
    .split('\n')
    .map((line) => `  ${printable(line)}`)
    .join('\n')}\n`
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024)} MiB`
}
