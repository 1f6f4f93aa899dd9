import { InvalidOptionError } from '../errors/punctual-error.ts'
import { type Milliseconds, ms, parseDuration } from '../resilience/duration.ts'
import { ProcessGlobal } from '../system/process-global.ts'

/**
 * What a worker offers to code that cannot import it: the watchdog, which evaluates it in a paused
 * frame, and the toolkit in the app. Members are added, never changed: the app's copy of Punctual
 * may be newer than the one that runs the worker.
 */
export interface WorkerRuntime {
  /**
   * The sequence number of the request that is being executed, from AsyncLocalStorage, else the one
   * that `self` (the `this` of a frame) belongs to; 0 for none.
   */
  readonly sequenceOf: (self: unknown) => number
  /** Announces a long synchronous job. The function it returns announces its end. */
  readonly beginBlocking: (name: string, timeoutMs: number) => () => void
}

const runtime = new ProcessGlobal<WorkerRuntime>('runtime')

/** Makes this the runtime of the process; called once, when the worker starts. */
export function publishRuntime(value: WorkerRuntime): void {
  runtime.set(value)
}

/**
 * Runs a synchronous job that is known to block the event loop: the watchdog counts its stall from
 * the end of `timeout`, and names the job in the incident. Jobs may be nested; when the inner job
 * ends, the timeout of the outer one applies again.
 *
 * Outside a worker of Punctual it only runs the job.
 *
 * @param name appears in incidents
 * @param timeout how long the job may take, e.g. `'20s'` or milliseconds; must be finite
 * @returns what the job returns
 * @throws InvalidOptionError for a timeout that is not finite and positive, or what the job throws
 */
export function allowBlocking<T>(name: string, timeout: string | number, job: () => T): T {
  const allowed: Milliseconds | undefined = typeof timeout === 'number' ? ms(timeout) : parseDuration(timeout)
  if (allowed === undefined || !(allowed > 0) || !Number.isFinite(allowed)) {
    const must = "must be a finite duration greater than 0, e.g. '20s'"
    throw new InvalidOptionError(`allowBlocking("${name}")`, 'timeout', timeout, must)
  }
  const end = runtime.get()?.beginBlocking(name, allowed)
  try {
    return job()
  } finally {
    end?.()
  }
}
