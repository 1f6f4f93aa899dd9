import { readlinkSync, readSync, writeSync } from 'node:fs'
import type { EmergencyResponses } from '../diagnostics/incident.ts'
import { monotonicNow } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import { BEGUN, type ConnectionRow, type ConnectionTable, NESTED, OPAQUE, WAITING } from './connection-table.ts'
import type { RawResponse } from './raw-response.ts'

/**
 * Unread bytes of one connection that are discarded; with more, the client gets a reset after its
 * response.
 */
const MAX_UNREAD = 1024 * 1024

/**
 * Answers, by descriptor, the clients of a process that is about to be killed: requests in flight
 * whose response has not started, and unread requests on keep-alive connections. Called by the
 * watchdog thread while the main thread is blocked, or by the main thread as it exits. It never
 * waits, because the descriptors do not block.
 *
 * Unread bytes are discarded first: when a process exits with unread bytes, the kernel sends a
 * reset, which overtakes the response.
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
    if ((row.flags & NESTED) !== 0) continue
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

/** The descriptor may have been closed and reused for a file, which must not be written to. */
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
    while (total < MAX_UNREAD) {
      const read = readSync(fd, buffer, 0, buffer.length, null)
      if (read === 0) break // the client has disconnected
      if (total === 0) head = buffer.toString('latin1', 0, 5) === 'HEAD '
      total += read
    }
  } catch {
    // EAGAIN: no more bytes. Any other error recurs on the write.
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
