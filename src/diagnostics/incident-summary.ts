import { printable } from '../redaction/printable.ts'
import { redactTarget } from '../redaction/redaction.ts'
import { formatElapsed } from '../resilience/duration.ts'
import type {
  EmergencyResponses,
  Incident,
  KernelEvidence,
  NotInterruptedReason,
  ReportedError,
  RequestLine,
  StallEvidence,
} from './incident.ts'
import { formatFrame, mostRelevantFrame, shortPath } from './stack-frames.ts'

/** An incident without its summary. */
export type IncidentFacts = Omit<Incident, 'summary'>

const MAX_MESSAGE_LENGTH = 200
const MAX_TARGET_LENGTH = 80
const MAX_COMMAND_LENGTH = 80
const MAX_IMPORTERS = 4

const SIGNALS: Readonly<Record<string, string>> = {
  SIGKILL: 'SIGKILL from outside (the out-of-memory killer, or an operator)',
  SIGABRT: 'SIGABRT (the heap was full, or an assertion failed)',
}

const NOT_INTERRUPTED: Readonly<Record<NotInterruptedReason, string>> = {
  'async-hooks': 'an async_hooks hook is enabled, under which an interruption may abort the process',
  'interrupted-before': 'it was interrupted before',
  'blocked-in-system-call': 'it is blocked in a system call',
  'no-permission': 'node --permission denies the inspector',
  'native-code': 'it runs native code',
  'loop-did-not-turn': 'its event loop did not continue after an interruption',
  'other-debugger': 'another inspector session in its process resumes it',
  'requests-one-after-another': 'one request after another blocks it',
}

/**
 * Formats an incident as one sentence: which worker, how long, where, for which request and why,
 * then what was done about it, in clauses separated by semicolons. One line without control
 * characters; paths below `cwd` are relative.
 */
export function formatSummary(incident: IncidentFacts, cwd: string): string {
  const clauses = [problem(incident, cwd), ...consequences(incident)]
  return printable(clauses.filter((clause) => clause !== '').join('; '))
}

function problem(incident: IncidentFacts, cwd: string): string {
  const who = incident.worker === null ? 'a worker' : `worker ${incident.worker.id} (pid ${incident.worker.pid})`
  switch (incident.kind) {
    case 'stall': {
      const verb = incident.outcome === 'ongoing' ? 'has been stalled' : 'stalled'
      return `${who} ${verb} for ${duration(incident)}${where(incident, cwd)}`
    }
    case 'frozen':
      return `${who} sent no heartbeat for ${duration(incident)}${where(incident, cwd)}`
    case 'boot':
      return `${who} ${bootFailure(incident)}${where(incident, cwd)}${importers(incident, cwd)}`
    case 'crash':
      return `${who} ${crash(incident)}${incident.draining === true ? ' while it was shutting down' : ''}`
    case 'stop-timeout':
      return `${who} did not exit within stopTimeout${waitingFor(incident)}`
    case 'memory':
      return `${who} ${memory(incident)}`
    case 'leak':
      return leak(incident, who)
    case 'crash-loop':
      return crashLoop(incident)
    case 'internal-error':
      return internalError(incident)
  }
}

function bootFailure(incident: IncidentFacts): string {
  if (incident.error !== undefined) return `did not boot: ${formatError(incident.error)}`
  if (incident.evidence.length > 0 || incident.outcome === 'killed') return `was not ready after ${duration(incident)}`
  return `exited before it was ready${exit(incident, ': ')}`
}

/** The importers of the module that was being imported. */
function importers({ imports = [] }: IncidentFacts, cwd: string): string {
  const shown = imports.slice(1, 1 + MAX_IMPORTERS).map((file) => `imported by ${shortPath(file, cwd)}`)
  return shown.length === 0 ? '' : `, ${shown.join(', ')}${imports.length > 1 + MAX_IMPORTERS ? ', …' : ''}`
}

function crash(incident: IncidentFacts): string {
  if (incident.error !== undefined) return `crashed: ${formatError(incident.error)}`
  if (incident.heap !== undefined) {
    const { used, limit } = incident.heap
    return `ran out of memory: heap full (${mebibytes(used)} of ${mebibytes(limit)})`
  }
  return `exited unexpectedly${exit(incident, ': ')}`
}

function waitingFor({ waitingFor = [] }: IncidentFacts): string {
  return waitingFor.length === 0 ? '' : `, waiting for ${waitingFor.join(', ')}`
}

function memory({ memory, evidence }: IncidentFacts): string {
  const used = memory?.rss ?? evidence.at(-1)?.memory.rss
  if (used === undefined) return 'exceeded its memory limit'
  return `used ${mebibytes(used)} of memory${memory === undefined ? '' : ` (maxMemory ${mebibytes(memory.limit)})`}`
}

function leak({ leak }: IncidentFacts, who: string): string {
  if (leak === undefined) return `${who}: a connection was checked out for too long`
  const { pool, borrower, heldForMs } = leak
  return `${who}: connection of pool ${pool} checked out for ${formatElapsed(heldForMs)} by ${borrower}; unless it is returned the pool will be exhausted`
}

function crashLoop({ failures, error }: IncidentFacts): string {
  const reasons = Object.entries(failures?.reasons ?? {}).sort(([, a], [, b]) => b - a)
  const count = reasons.reduce((sum, [, times]) => sum + times, 0)
  const list = reasons.map(([reason, times]) => `${times} ${reason}`).join(', ')
  const within = failures === undefined ? '' : ` within ${formatElapsed(failures.withinMs)}`
  const what = count === 0 ? 'workers keep failing' : `workers failed ${count} times${within} (${list})`
  return `${what}; the arbiter gave up${error === undefined ? '' : `; last error: ${formatError(error)}`}`
}

function internalError({ during, error }: IncidentFacts): string {
  const when = during === undefined ? '' : ` on the event "${during}"`
  return `the arbiter failed${when}${error === undefined ? '' : `: ${formatError(error)}`}; it killed its workers`
}

/** Where the main thread was, for which request, and what it was doing. */
function where(incident: IncidentFacts, cwd: string): string {
  const last = incident.evidence.at(-1)
  if (last === undefined) return ''
  const seen = incident.evidence.findLast(hasStack)
  const frame = seen === undefined ? undefined : mostRelevantFrame(seen.stack)
  const request = incident.evidence.findLast((evidence) => evidence.request !== null)?.request ?? null
  const parts = [
    frame === undefined ? '' : ` in ${formatFrame(frame, cwd)}`,
    last.allowBlocking === null ? '' : ` beyond the timeout of allowBlocking "${shorten(last.allowBlocking, 60)}"`,
    request === null ? '' : ` for ${formatRequest(request)}`,
    ...[formatKernel(last), fullHeap(last), frame === undefined && request === null ? oldestRequest(last) : '']
      .filter((part) => part !== '')
      .map((part) => `, ${part}`),
  ]
  return parts.join('')
}

function consequences(incident: IncidentFacts): string[] {
  const { outcome, emergencyResponses, replacement } = incident
  return [
    reaction(incident),
    others(incident),
    emergencyResponses === undefined ? lostRequests(incident) : formatEmergencyResponses(emergencyResponses),
    outcome === 'exited' ? laterExit(incident) : '',
    replacement === undefined
      ? ''
      : `worker ${replacement.worker} took over after ${formatElapsed(replacement.afterMs)}`,
  ]
}

/** What was done about it, or how it ended. */
function reaction(incident: IncidentFacts): string {
  const { outcome, kind, culprit, notInterrupted } = incident
  const why = notInterrupted === undefined ? '' : `not interrupted because ${NOT_INTERRUPTED[notInterrupted]}`
  switch (outcome) {
    case 'ongoing':
      return [why, waitingRequests(incident)].filter((clause) => clause !== '').join('; ')
    case 'ended':
      return kind === 'frozen' ? 'it recovered' : 'it ended by itself; the worker keeps running'
    case 'interrupted':
      if (culprit === '503') return 'interrupted and answered 503'
      return culprit === 'closed' ? 'interrupted; its connection was closed as the response had begun' : 'interrupted'
    case 'killed': {
      const failed = incident.evidence.some(({ stage }) => stage === 'interrupt') && notInterrupted === undefined
      if (failed) return 'interruption failed; killed'
      return why === '' ? 'killed' : `${why}; killed`
    }
    case 'exited':
      return kind === 'memory' ? 'replaced' : ''
  }
}

/** How the worker exited, if the incident is about something else. */
function laterExit(incident: IncidentFacts): string {
  const { kind, error, heap } = incident
  const isOther = kind === 'stall' || kind === 'frozen' || (kind === 'memory' && (error ?? heap) !== undefined)
  if (isOther) return `then it ${crash(incident)}`
  return error === undefined ? '' : exit(incident, '')
}

function waitingRequests(incident: IncidentFacts): string {
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

/** `41 clients answered 503, 2 closed`. */
export function formatEmergencyResponses({ inFlight, unread, closed }: EmergencyResponses): string {
  const answered = inFlight + unread
  if (answered + closed === 0) return 'no client was waiting'
  const first = answered === 0 ? '' : `${clients(answered)} answered 503`
  const second = closed === 0 ? '' : `${answered === 0 ? clients(closed) : closed} closed`
  return [first, second].filter((part) => part !== '').join(', ')
}

function lostRequests({ kind, outcome, evidence }: IncidentFacts): string {
  const count = evidence.at(-1)?.inFlightCount ?? 0
  if (count === 0 || !(outcome === 'killed' || outcome === 'exited')) return ''
  return kind === 'memory' ? '' : `${requests(count)} lost`
}

function exit({ exit }: IncidentFacts, prefix: string): string {
  if (exit === undefined) return ''
  if (exit.signal !== null) return `${prefix}killed by ${SIGNALS[exit.signal] ?? exit.signal}`
  return `${prefix}exit code ${exit.code ?? 'unknown'}`
}

function duration(incident: IncidentFacts): string {
  return formatElapsed(incident.stalledForMs ?? incident.evidence.at(-1)?.stalledForMs ?? 0)
}

function fullHeap({ memory: { heapUsed, heapLimit } }: StallEvidence): string {
  if (heapLimit <= 0 || heapUsed / heapLimit < 0.9) return ''
  return `heap ${Math.round((100 * heapUsed) / heapLimit)} % full`
}

function formatError(error: ReportedError): string {
  const [first = ''] = error.message.split('\n')
  return shorten(first === '' ? error.name : `${error.name}: ${first}`, MAX_MESSAGE_LENGTH)
}

/** `POST /login` */
function formatRequest({ method, target }: RequestLine): string {
  return `${shorten(method, 20)} ${shorten(redactTarget(target), MAX_TARGET_LENGTH)}`
}

/** The likeliest request: `oldest of 3 requests in flight: GET /a (5.1 s)`. */
function oldestRequest({ inFlight, inFlightCount }: StallEvidence): string {
  const [oldest] = inFlight
  if (oldest === undefined) return ''
  const request = `${formatRequest(oldest)} (${formatElapsed(oldest.ageMs)})`
  if (inFlightCount <= 1) return `the only request in flight: ${request}`
  return `oldest of ${inFlightCount} requests in flight: ${request}`
}

/** `spinning`, or `waiting in the kernel (do_wait, wait4) for child "sleep 20"`. */
export function formatKernel({ kernel }: StallEvidence): string {
  switch (kernel?.doing) {
    case 'spinning':
      return 'spinning'
    case 'stopped':
      return 'stopped by a signal'
    case 'waiting': {
      const names = [kernel.wchan, kernel.syscall].filter((name) => name !== null && name !== '' && name !== '0')
      return `waiting in the kernel${names.length === 0 ? '' : ` (${names.join(', ')})`}${awaited(kernel)}`
    }
    default:
      return ''
  }
}

function awaited(kernel: KernelEvidence): string {
  const [child] = kernel.children
  if (child !== undefined && isWaitingForChild(kernel)) {
    const more = kernel.children.length > 1 ? ` and ${kernel.children.length - 1} more` : ''
    return ` for child "${shorten(child, MAX_COMMAND_LENGTH)}"${more}`
  }
  return kernel.target === null ? '' : ` on ${shorten(kernel.target, MAX_COMMAND_LENGTH)}`
}

/** A worker may have children that it does not wait for. `execSync` polls their pipes first. */
function isWaitingForChild({ syscall, wchan }: KernelEvidence): boolean {
  return /^(wait4|waitid|epoll_p?wait2?|p?poll)$/.test(syscall ?? '') || /do_wait|poll/.test(wchan ?? '')
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

function shorten(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength - 1)}…`
}
