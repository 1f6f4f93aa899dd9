/**
 * What the toolkit says to the arbiter, and through it to the other workers of this machine. An app's copy of the package need not be the
 * one that runs the worker, so the line is found by a registered symbol; a room that finds none runs in a process without an arbiter.
 */
export interface WorkerLine {
  /** The id of this worker, as in `/status`. */
  readonly worker: number
  /** Absolute path of the arbiter's state directory. */
  readonly stateDir: string
  /** What `punctual set` had set when this worker was started, as texts by name. */
  readonly set?: Readonly<Record<string, string>>
  /** Says something to the arbiter. `message` goes as JSON; nothing is waited for, and what is said while the arbiter leaves is lost. */
  tell(topic: string, message: unknown): void
  /** Says something to every other worker of this machine, those that still boot or already drain included. */
  broadcast(topic: string, message: unknown): void
  /** Hears what the arbiter and other workers say under a topic. What was said before anybody listened is kept, up to 1,000 messages a topic. */
  hear(topic: string, listener: (message: unknown) => void): () => void
  /** Asked about once a second while this worker turns; the newest answer is in `/status` under `workers[].modules[topic]`, and metrics are made of it. */
  report(topic: string, snapshot: () => unknown): () => void
  /** Called when this worker leaves and its last request has ended; it exits when `drained` is done, or at the limit (in ms) that `drained` is told. */
  onDrain(name: string, drained: (limit: number) => Promise<void>): () => void
  /** How busy the main loop is: utilisation over the last second from 0 to 1, and requests in flight. */
  load(): { readonly utilisation: number; readonly inFlight: number }
}

const LINE = Symbol.for('punctual.line')

/** The line of this worker; null in a process that does not run under Punctual. */
export function workerLine(): WorkerLine | null {
  return (globalThis as { [LINE]?: WorkerLine })[LINE] ?? null
}

/** Makes a line the one of this process; null takes it away. */
export function publishWorkerLine(line: WorkerLine | null): void {
  const holder = globalThis as { [LINE]?: WorkerLine }
  if (line === null) delete holder[LINE]
  else holder[LINE] = line
}
