/**
 * What the toolkit knows of the boot of its worker. Found by a registered symbol, as the worker's line is: an app may have a copy of Punctual of
 * its own beside the one that runs the worker.
 */
export interface WorkerBoot {
  /**
   * Calls `listener` once, when the app listens and everything that is not deferred has been loaded; soon, if that is so already. `ready` is false
   * where the worker is not ready before what is held has been released.
   */
  onServing(listener: (ready: boolean) => void): void
  /** Something that was deferred and is to be loaded. With `readyWhen: 'all'` the worker is not ready until every hold has been released. */
  hold(): () => void
}

const KEY = Symbol.for('punctual.boot')
type Holder = { [KEY]?: WorkerBoot }

/** The boot of this worker; null in a process that does not run under Punctual. */
export function workerBoot(): WorkerBoot | null {
  return (globalThis as Holder)[KEY] ?? null
}

/** Makes a boot the one of this process; null takes it away. */
export function publishWorkerBoot(boot: WorkerBoot | null): void {
  const holder = globalThis as Holder
  if (boot === null) delete holder[KEY]
  else holder[KEY] = boot
}
