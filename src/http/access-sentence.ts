import type { Outcome } from '../diagnostics/outcomes.ts'
import { formatElapsed } from '../resilience/duration.ts'
import type { AccessRecord, AccessWait } from './access-record.ts'

/** Queueing and waits that took less of the whole, in percent, are not worth a word. */
const WORTH_TELLING = 10

/**
 * The line as a sentence: `POST /api/auth 503 expired after 30.0 s; waiting 29.9 s for
 * 127.0.0.1:5432 (postgresql)`.
 *
 * @param waiting what it waited for when its time ran out, as `tellOpenWaits` says it; empty for
 * nothing
 */
export function formatAccessLine(record: AccessRecord, waiting: string): string {
  const { method, route, durationMs, queuedMs } = record
  const queued =
    queuedMs * 100 >= durationMs * WORTH_TELLING && queuedMs > 0 ? `, ${formatElapsed(queuedMs)} of it queued` : ''
  return `${method} ${route}${whatHappened(record)} after ${formatElapsed(durationMs)}${queued}${waiting === '' ? why(record) : `; ${waiting}`}`
}

const VERBS: Readonly<Record<Outcome, string>> = {
  completed: '',
  degraded: ' degraded',
  'timed-out': ' expired',
  shed: ' shed',
  failed: ' failed',
  'client-disconnected': '',
  shutdown: ' given up',
}

function whatHappened({ outcome, status, cut }: AccessRecord): string {
  if (outcome === 'client-disconnected') return cut === true ? ': its client left while streaming' : ': its client left'
  if (cut === true) return ' cut while streaming'
  return status === null ? `${VERBS[outcome]} unanswered` : ` ${status}${VERBS[outcome]}`
}

function why(record: AccessRecord): string {
  const { outcome, waits = [] } = record
  if (outcome === 'shutdown') return ': its worker had to leave'
  const last = (wanted: string): AccessWait | undefined => waits.findLast((wait) => wait.outcome === wanted)
  if (outcome === 'degraded') {
    const replaced = last('degraded')
    if (replaced !== undefined) {
      return `; a fallback in place of ${replaced.name}, which took ${formatElapsed(replaced.ms)}`
    }
  }
  if (outcome === 'timed-out') {
    const expired = last('timed-out')
    if (expired !== undefined) return `; ${expired.name} ran out after ${formatElapsed(expired.ms)}`
    const refused = last('refused')
    if (refused !== undefined) return `; too little time was left for ${refused.name}`
  }
  return longestOf(waits)
}

function longestOf(waits: readonly AccessWait[]): string {
  let longest: AccessWait | undefined
  for (const wait of waits) if (longest === undefined || wait.ms > longest.ms) longest = wait
  if (longest === undefined || longest.share < WORTH_TELLING) return ''
  return `; ${formatElapsed(longest.ms)} of it for ${longest.name}`
}
