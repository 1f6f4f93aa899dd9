import { monotonicNow } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../resilience/duration.ts'
import { CancelRequest, cancelTargetOf } from './cancel-request.ts'
import type { PgClient } from './pg-types.ts'
import type { DestroyReason } from './pool-health.ts'
import type { ServerStatus } from './server-status.ts'

/** Why a connection must be destroyed, as a code and as a sentence. */
export type Fault = readonly [reason: DestroyReason, why: string]

export interface CancelResult {
  /** Cancel requests that the server received. */
  readonly delivered: number
  /** Null when the server is ready, or the connection lost, and no cancel request is open. */
  readonly fault: Fault | null
}

/** How long the first cancel may take before it is repeated, in milliseconds; doubled each time. */
const FIRST_RETRY = 100

/** Ends the running query of a connection: sends cancel requests until the server is ready. */
export async function cancelQuery(
  client: PgClient,
  server: ServerStatus,
  cancelTimeout: Milliseconds,
): Promise<CancelResult> {
  let delivered = 0
  const endWith = (...fault: Fault): CancelResult => ({ delivered, fault })
  const target = cancelTargetOf(client)
  if (target === undefined) return endWith('no-cancel-key', 'the server sent no key for cancel requests')
  const end = monotonicNow() + cancelTimeout
  for (let retryAfter = FIRST_RETRY; ; retryAfter *= 2) {
    const left = end - monotonicNow()
    if (left <= 0) {
      return endWith('cancel-timed-out', `a cancelled query did not end within ${formatElapsed(cancelTimeout)}`)
    }
    const request = new CancelRequest(target, ms(left))
    void server.whenReady().then(() => request.withdraw())
    const outcome = await request.done
    if (outcome === 'delivered') delivered++
    if (!server.isLost && outcome === 'doubtful') {
      return endWith('cancel-in-doubt', 'a cancel request may still reach the server')
    }
    // A request that came too early cancels nothing, and its connection may be refused: hence a
    // retry.
    await server.whenReady(ms(Math.min(retryAfter, Math.max(1, end - monotonicNow()))))
    if (server.isReady || server.isLost) return { delivered, fault: null }
  }
}
