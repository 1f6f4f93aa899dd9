import { FULL_HEAP } from '../ipc/messages.ts'
import type { WorkerState } from './state.ts'

/** The heap of a worker whose process aborted because it was full, in bytes, by the last that was heard of it; null if that was not why it ended. */
export function fullHeap(
  { vitals }: WorkerState,
  exit: { readonly code: number | null; readonly signal: string | null },
): { readonly used: number; readonly limit: number } | null {
  const aborted = exit.signal === 'SIGABRT' || exit.code === 134
  if (!aborted || vitals === null || vitals.heapLimit <= 0) return null
  const { heapUsed: used, heapLimit: limit } = vitals
  return used / limit > FULL_HEAP ? { used, limit } : null
}
