import { formatElapsed } from '../resilience/duration.ts'
import { formatKernel, formatOldest, formatRequest } from './format-evidence.ts'
import { printable } from './format-log-line.ts'
import type { EmergencyResponses, Incident, NotInterruptedReason, ReportedError, StallEvidence } from './incident.ts'
import { formatFrame, mostRelevantFrame, shortPath } from './stack-frames.ts'

/** What a summary is told from: an incident that may not have its summary yet. */
export type IncidentFacts = Omit<Incident, 'summary'>

const LONGEST_MESSAGE = 200
const SIGNALS: Readonly<Record<string, string>> = {
  SIGKILL: 'SIGKILL from outside (the kernel out of memory, or somebody)',
  SIGABRT: 'SIGABRT (the heap was full, or an assertion failed)',
}

/**
 * The summary of an incident in one sentence, as it stands: who, how long, where, for whom, why; then what was done about it, each clause
 * after a semicolon. One line, without control characters. Paths below `cwd` are told relative to it.
 */
export function formatSummary(incident: IncidentFacts, cwd: string): string {
  const clauses = [beginning(incident, cwd), ...consequences(incident)]
  return printable(clauses.filter((clause) => clause !== '').join('; '))
}

function beginning(incident: IncidentFacts, cwd: string): string {
  const who = incident.worker === null ? 'a worker' : `worker ${incident.worker.id} (pid ${incident.worker.pid})`
  switch (incident.kind) {
    case 'stall':
      return `${who} ${stalled(incident)}${where(incident, cwd)}`
    case 'frozen':
      return `${who} gave no sign of life for ${length(incident)}${where(incident, cwd)}`
    case 'boot':
      return `${who} ${booted(incident)}${where(incident, cwd)}${importers(incident, cwd)}`
    case 'crash':
      return `${who} ${crashed(incident)}`
    case 'memory':
      return `${who} ${outgrew(incident)}`
    case 'leak':
      return `${who} ${leaked(incident)}`
    case 'crash-loop':
      return looped(incident)
    case 'internal-error':
      return broke(incident)
  }
}

function stalled(incident: IncidentFacts): string {
  const still = incident.outcome === 'ongoing' ? 'has been stalled for' : 'stalled'
  return `${still} ${length(incident)}`
}

function booted(incident: IncidentFacts): string {
  if (incident.error !== undefined) return `could not boot: ${tellError(incident.error)}`
  if (incident.evidence.length > 0 || incident.outcome === 'killed') return `was not ready after ${length(incident)}`
  return `left before it was ready${exit(incident, ': ')}`
}

const MOST_IMPORTERS = 4

/** Who wanted the module that was being imported. */
function importers({ imports = [] }: IncidentFacts, cwd: string): string {
  const told = imports.slice(1, 1 + MOST_IMPORTERS).map((file) => `imported by ${shortPath(file, cwd)}`)
  return told.length === 0 ? '' : `, ${told.join(', ')}${imports.length > 1 + MOST_IMPORTERS ? ', …' : ''}`
}

function crashed(incident: IncidentFacts): string {
  if (incident.error !== undefined) return `crashed: ${tellError(incident.error)}`
  if (incident.heap !== undefined) {
    const { used, limit } = incident.heap
    return `ran out of memory: its heap was full (${mebibytes(used)} of ${mebibytes(limit)})`
  }
  return `died${exit(incident, ': ')}`
}

function outgrew(incident: IncidentFacts): string {
  const { memory } = incident
  const used = memory?.rss ?? incident.evidence.at(-1)?.memory.rss
  if (used === undefined) return 'used more memory than its limit'
  return `used ${mebibytes(used)} of memory${memory === undefined ? '' : `, above its limit of ${mebibytes(memory.limit)}`}`
}

function leaked({ leak }: IncidentFacts): string {
  if (leak === undefined) return 'has lent a connection that does not come back'
  const { pool, borrower, heldForMs } = leak
  return `has lent a connection of pool ${pool} to ${borrower} for ${formatElapsed(heldForMs)}; if it is never released the pool runs dry`
}

function looped(incident: IncidentFacts): string {
  const { failures, error } = incident
  const reasons = Object.entries(failures?.reasons ?? {})
  const count = reasons.reduce((sum, [, times]) => sum + times, 0)
  const told = reasons
    .sort(([, a], [, b]) => b - a)
    .map(([reason, times]) => `${times} ${reason}`)
    .join(', ')
  const within = failures === undefined ? '' : ` within ${formatElapsed(failures.withinMs)}`
  const what = count === 0 ? 'workers keep failing' : `workers failed ${count} times${within} (${told})`
  return `${what}; gave up${error === undefined ? '' : `; the last error: ${tellError(error)}`}`
}

function broke({ during, error }: IncidentFacts): string {
  const when = during === undefined ? '' : ` while it handled the event "${during}"`
  return `the arbiter failed${when}${error === undefined ? '' : `: ${tellError(error)}`}; it stopped its workers`
}

/** Where the main thread stood, for which request, and what it did there. */
function where(incident: IncidentFacts, cwd: string): string {
  const last = incident.evidence.at(-1)
  if (last === undefined) return ''
  const seen = incident.evidence.findLast(hasStack)
  const frame = seen === undefined ? undefined : mostRelevantFrame(seen.stack)
  const request = incident.evidence.findLast((evidence) => evidence.request !== null)?.request ?? null
  const parts = [
    frame === undefined ? '' : ` in ${formatFrame(frame, cwd)}`,
    last.allowBlocking === null ? '' : ` past the limit of long turn "${cut(last.allowBlocking, 60)}"`,
    request === null ? '' : ` for ${formatRequest(request)}`,
    ...[formatKernel(last), nearlyFull(last), frame === undefined && request === null ? formatOldest(last) : '']
      .filter((told) => told !== '')
      .map((told) => `, ${told}`),
  ]
  return parts.join('')
}

function consequences(incident: IncidentFacts): string[] {
  const { outcome, kind, replacement } = incident
  return [
    kind === 'crash-loop' ? '' : done(incident),
    others(incident),
    incident.emergencyResponses === undefined ? lost(incident) : formatEmergencyResponses(incident.emergencyResponses),
    outcome === 'exited' ? died(incident) : '',
    replacement === undefined
      ? ''
      : `worker ${replacement.worker} took over after ${formatElapsed(replacement.afterMs)}`,
  ]
}

/** How the worker ended, where that is not what the incident is about from the start. */
function died(incident: IncidentFacts): string {
  const { kind, error, heap } = incident
  const unforeseen = kind === 'stall' || kind === 'frozen' || (kind === 'memory' && (error ?? heap) !== undefined)
  if (unforeseen) return `then it ${crashed(incident)}`
  return error === undefined ? '' : exit(incident, '')
}

/** Behind "not cut, because". */
const NOT_CUT: Readonly<Record<NotInterruptedReason, string>> = {
  'async-hooks': 'an async_hooks hook is enabled, under which a cut may abort the process',
  'interrupted-before': 'it has been cut once already',
  'blocked-in-system-call': 'it is blocked in a system call',
  'native-code': 'it runs native code that cannot be interrupted',
  'loop-did-not-turn': 'its loop did not turn after the cut',
  'requests-one-after-another': 'its loop is kept from turning by one request after another',
}

/** What became of it. */
function done(incident: IncidentFacts): string {
  const { outcome, kind, culprit, notInterrupted } = incident
  const uncut = notInterrupted === undefined ? '' : `not cut, because ${NOT_CUT[notInterrupted]}`
  switch (outcome) {
    case 'ongoing':
      return [uncut, waiting(incident)].filter((clause) => clause !== '').join('; ')
    case 'ended':
      return kind === 'frozen' ? 'it is alive again' : 'it ended by itself and the worker goes on'
    case 'interrupted':
      if (culprit === '503') return 'cut and answered 503'
      return culprit === 'closed' ? 'cut and its connection closed, as the response had begun' : 'cut'
    case 'killed': {
      const tried = incident.evidence.some((evidence) => evidence.stage === 'interrupt') && notInterrupted === undefined
      if (tried) return 'a cut did not help; killed'
      return uncut === '' ? 'killed' : `${uncut}; killed`
    }
    case 'exited':
      return kind === 'memory' ? 'replaced' : ''
  }
}

function waiting(incident: IncidentFacts): string {
  const last = incident.evidence.at(-1)
  if (last === undefined || incident.kind === 'boot') return ''
  const count = last.inFlightCount - (last.request === null ? 0 : 1)
  if (count <= 0) return ''
  return last.request === null ? `${requests(count)} in flight` : `${requests(count, 'other ')} in flight`
}

function others(incident: IncidentFacts): string {
  if (incident.others === undefined || incident.others.inFlight === 0) return ''
  const { inFlight, served } = incident.others
  return served >= inFlight
    ? `${requests(served, 'other ')} served`
    : `${served} of ${requests(inFlight, 'other ')} served`
}

export function formatEmergencyResponses(answers: EmergencyResponses): string {
  const answered = answers.inFlight + answers.unread
  if (answered + answers.closed === 0) return 'no client was waiting'
  const told = answered === 0 ? '' : `${clients(answered)} answered 503`
  const closed = answers.closed === 0 ? '' : `${answered === 0 ? clients(answers.closed) : answers.closed} closed`
  return [told, closed].filter((part) => part !== '').join(', ')
}

/** Requests that nobody could answer any more. */
function lost(incident: IncidentFacts): string {
  const count = incident.evidence.at(-1)?.inFlightCount ?? 0
  if (count === 0 || !(incident.outcome === 'killed' || incident.outcome === 'exited')) return ''
  return incident.kind === 'memory' ? '' : `${requests(count)} lost`
}

function exit(incident: IncidentFacts, before: string): string {
  const { exit: how } = incident
  if (how === undefined) return ''
  if (how.signal !== null) return `${before}killed by ${SIGNALS[how.signal] ?? how.signal}`
  return `${before}exit code ${how.code ?? 'unknown'}`
}

function length(incident: IncidentFacts): string {
  return formatElapsed(incident.stalledForMs ?? incident.evidence.at(-1)?.stalledForMs ?? 0)
}

function nearlyFull(evidence: StallEvidence): string {
  const { heapUsed, heapLimit } = evidence.memory
  if (heapLimit <= 0 || heapUsed / heapLimit < 0.9) return ''
  return `its heap ${Math.round((100 * heapUsed) / heapLimit)} % full`
}

function tellError(error: ReportedError): string {
  const [first = ''] = error.message.split('\n')
  return cut(first === '' ? error.name : `${error.name}: ${first}`, LONGEST_MESSAGE)
}

function hasStack(evidence: StallEvidence): evidence is StallEvidence & { stack: NonNullable<StallEvidence['stack']> } {
  return evidence.stack !== null && evidence.stack.length > 0
}

function requests(count: number, which = ''): string {
  return `${count} ${which}${count === 1 ? 'request' : 'requests'}`
}

function clients(count: number): string {
  return `${count} ${count === 1 ? 'client' : 'clients'}`
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024)} MiB`
}

function cut(text: string, longest: number): string {
  return text.length <= longest ? text : `${text.slice(0, longest - 1)}…`
}
