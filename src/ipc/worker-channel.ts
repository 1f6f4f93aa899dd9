import type { ModuleMetric } from '../diagnostics/metric-definition.ts'
import { ProcessGlobal } from '../system/process-global.ts'

/**
 * How the toolkit in a worker exchanges messages with the arbiter and the other workers of this
 * machine. An app may have its own copy of the package, so the channel is a process-wide value; a
 * module that finds none runs in a process without an arbiter.
 */
export interface WorkerChannel {
  /** The id of this worker, as in `/status`. */
  readonly worker: number
  /** Absolute path of the arbiter's state directory. */
  readonly stateDir: string
  /** What `punctual set` had set when this worker started, as texts by name. */
  readonly set?: Readonly<Record<string, string>>
  /** Sends a JSON message to the arbiter, without waiting. It is lost if the arbiter is exiting. */
  send(topic: string, message: unknown): void
  /** Sends a message to every other worker of this machine, including those booting or draining. */
  broadcast(topic: string, message: unknown): void
  /**
   * Receives the messages of the arbiter and the other workers under a topic; returns a function
   * that unsubscribes. Messages before the first subscriber are kept, up to 1,000 a topic.
   */
  subscribe(topic: string, listener: (message: unknown) => void): () => void
  /**
   * Calls `snapshot` about once a second. The newest result is in `/status` under
   * `workers[].modules[topic]`, and `metrics` are computed from it. Returns a function that stops
   * it.
   */
  report<Report>(topic: string, snapshot: () => Report, metrics?: readonly ModuleMetric<Report>[]): () => void
  /**
   * Calls `drained` when this worker drains and its last request has ended. The worker exits when
   * the promise settles, or after the timeout (in milliseconds) that `drained` receives. Meanwhile
   * `waitingFor` says what is left: `durable queue mails (12 items)`.
   */
  onDrain(name: string, drained: (timeout: number) => Promise<void>, waitingFor?: () => readonly string[]): () => void
  /** Utilisation of the event loop over the last second (0 to 1), and the requests in flight. */
  load(): { readonly utilisation: number; readonly inFlight: number }
}

/** What the toolkit knows of the boot of its worker; a process-wide value, as the channel is. */
export interface WorkerBoot {
  /**
   * Calls `listener` once, when the app listens and everything that is not deferred is loaded;
   * soon, if that is already so. `ready` is false while holds keep the worker from being ready.
   */
  onServing(listener: (ready: boolean) => void): void
  /**
   * Announces something deferred that will be loaded. With `readyWhen: 'all'` the worker is not
   * ready until every hold is released. Returns the function that releases it.
   */
  hold(): () => void
}

const channelOfProcess = new ProcessGlobal<WorkerChannel>('channel')
const bootOfProcess = new ProcessGlobal<WorkerBoot>('boot')

/** The channel of this worker; null in a process that does not run under Punctual. */
export function workerChannel(): WorkerChannel | null {
  return channelOfProcess.get() ?? null
}

/** Sets the channel of this process; null removes it. */
export function publishWorkerChannel(channel: WorkerChannel | null): void {
  if (channel === null) channelOfProcess.delete()
  else channelOfProcess.set(channel)
}

/** The boot of this worker; null in a process that does not run under Punctual. */
export function workerBoot(): WorkerBoot | null {
  return bootOfProcess.get() ?? null
}

/** Sets the boot of this process; null removes it. */
export function publishWorkerBoot(boot: WorkerBoot | null): void {
  if (boot === null) bootOfProcess.delete()
  else bootOfProcess.set(boot)
}
