import { isDeepStrictEqual } from 'node:util'
import type { LockHolder } from '../../diagnostics/release-report.ts'
import { monotonicNow, pause } from '../../resilience/clock.ts'
import { formatElapsed, ms } from '../../resilience/duration.ts'
import { ReleaseError } from '../release-error.ts'
import { type ReleaseLock, type TakeOptions, tellHolder } from './release-lock.ts'

const BETWEEN_TRIES = ms(250)
/** Asking who holds it costs a query; the answer is for people. */
const TRIES_PER_LOOK = 8

/**
 * Takes the lock, and asks again for as long as somebody has it. It is polled, not queued for: who waits in the queue of a database keeps a
 * transaction open there.
 *
 * @throws ReleaseError that names the holder when the limit has passed; the signal's reason when it is aborted
 */
export async function takeLock(lock: ReleaseLock, { limit, signal, onWait }: TakeOptions): Promise<void> {
  const end = monotonicNow() + limit
  let told: LockHolder | null | undefined
  for (let tries = 0; ; tries++) {
    signal.throwIfAborted()
    if (await lock.tryTake()) return
    if (tries % TRIES_PER_LOOK === 0) {
      const holder = await lock.holder()
      if (!isDeepStrictEqual(holder, told)) onWait(holder)
      told = holder
    }
    if (monotonicNow() > end) {
      const holder = told ?? null
      throw new ReleaseError(
        `the release lock in ${lock.where} was not to be had within ${formatElapsed(limit)}: it is held by ${tellHolder(holder)}; wait for that release, or end it`,
        { phase: 'lock', reason: 'held', holder },
      )
    }
    await pause(BETWEEN_TRIES)
  }
}
