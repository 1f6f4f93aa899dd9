/**
 * Completes the callback of a `setImmediate` that is being interrupted; nothing is replaced.
 *
 * Why: Node runs the immediates of one turn of the event loop from a list, and moves on to the next
 * one in a `finally` block. `Runtime.terminateExecution` skips such blocks. The rest of the list
 * would be lost; or, if the interrupted immediate was not the first one, every further turn would
 * throw a TypeError (`reading '_idleNext'`), which ends the process.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: test/process/stalls/interrupt.test.ts
 */
import type { Debugger } from 'node:inspector'

/** Variables of `processImmediate`. They are the same object while its callback runs. */
const COMPLETE = `prevImmediate === immediate && immediate !== null && (outstandingQueue.head = immediate._idleNext, true)`

/**
 * What to evaluate in a paused frame right before its code is ended; null if it runs in no
 * immediate.
 *
 * @param urlOf of the script of a frame
 */
export function completeImmediate(
  frames: readonly Debugger.CallFrame[],
  urlOf: (frame: Debugger.CallFrame) => string,
): Debugger.EvaluateOnCallFrameParameterType | null {
  const frame = frames.findLast(({ functionName }) => functionName === 'processImmediate')
  if (frame === undefined || urlOf(frame) !== 'node:internal/timers') return null
  return { callFrameId: frame.callFrameId, expression: COMPLETE, silent: true }
}
