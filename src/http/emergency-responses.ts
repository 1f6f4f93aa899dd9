import { readlinkSync, readSync, writeSync } from 'node:fs'
import type { EmergencyResponses } from '../diagnostics/incident.ts'
import { monotonicNow } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import { BEGUN, type ConnectionRow, type ConnectionTable, OPAQUE, WAITING } from './connection-table.ts'
import type { RawResponse } from './raw-response.ts'

/** What one connection may have lying unread before we stop reading it; beyond, the client gets a reset after its answer. */
const MOST_UNREAD = 1024 * 1024

/**
 * Answers, by descriptor, every client of a process that is about to die: requests in flight whose response has not begun, and
 * requests that lie unread on a keep-alive connection. It is called by the watchdog thread while the main thread is paused or
 * blocked, or by the main thread itself as it exits; nothing here waits, because the descriptors do not block.
 *
 * What lies unread is read first: a process that dies with unread bytes makes the kernel send a reset, and the reset
 * overtakes the answer.
 *
 * @param limit after which the rest is only counted as closed
 */
export function sendEmergencyResponses(
  table: ConnectionTable,
  answer: RawResponse,
  limit: Milliseconds,
): EmergencyResponses {
  const startedAt = monotonicNow()
  const buffer = Buffer.allocUnsafe(64 * 1024)
  let inFlight = 0
  let unread = 0
  let closed = 0
  for (const row of table.rows()) {
    if ((row.flags & OPAQUE) !== 0) {
      closed++
      continue
    }
    if (row.fd < 0 || monotonicNow() - startedAt > limit || !isSocket(row.fd)) {
      closed++
      continue
    }
    const rest = drain(row.fd, buffer)
    const waiting = (row.flags & WAITING) !== 0
    if ((row.flags & BEGUN) !== 0) {
      closed++
    } else if (waiting || rest.read) {
      const wantsHead = waiting ? table.textOf(row.slot).startsWith('HEAD ') : rest.head
      if (!write(row, wantsHead ? answer.head : answer.whole)) closed++
      else if (waiting) inFlight++
      else unread++
    }
  }
  return { inFlight, unread, closed, tookMs: Math.round(monotonicNow() - startedAt) }
}

/** The number may have been closed and opened as a file between two turns of the main thread; never write into that. */
function isSocket(fd: number): boolean {
  if (process.platform !== 'linux') return true
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')
  } catch {
    return false
  }
}

function drain(fd: number, buffer: Buffer): { read: boolean; head: boolean } {
  let total = 0
  let head = false
  try {
    while (total < MOST_UNREAD) {
      const read = readSync(fd, buffer, 0, buffer.length, null)
      if (read === 0) break // the client has gone
      if (total === 0) head = buffer.toString('latin1', 0, 5) === 'HEAD '
      total += read
    }
  } catch {
    // EAGAIN: nothing more there. Anything else shows when we write.
  }
  return { read: total > 0, head }
}

function write(row: ConnectionRow, answer: Buffer): boolean {
  try {
    return writeSync(row.fd, answer) === answer.length
  } catch {
    return false
  }
}
