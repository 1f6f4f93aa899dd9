const HELD = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Signals that reach a whole process group (Ctrl-C, a closing terminal, a service manager's stop) reach workers too, but only the
 * arbiter decides when a worker leaves. So they are held back, from the app's own listeners as well, until the worker has
 * drained; then `releaseSignals` lets the app's listeners run, as the signal would have made them.
 */
export function holdSignals(): { release(): boolean } {
  const emit = process.emit as (event: string | symbol, ...args: unknown[]) => boolean
  let held = true
  process.emit = ((event: string | symbol, ...args: unknown[]): boolean => {
    if (held && (HELD as readonly unknown[]).includes(event)) return true
    return emit.call(process, event, ...args)
  }) as typeof process.emit
  const ignore = (): void => {}
  const hold = (): void => {
    // Without a listener the default would end the process.
    for (const signal of HELD) if (!process.listeners(signal).includes(ignore)) process.on(signal, ignore)
  }
  const removeAll = process.removeAllListeners as (...events: (string | symbol)[]) => NodeJS.Process
  process.removeAllListeners = ((...events: (string | symbol)[]) => {
    removeAll.apply(process, events)
    if (held) hold()
    return process
  }) as typeof process.removeAllListeners
  hold()

  return {
    /** Runs the app's own SIGTERM listeners; false when it has none. */
    release(): boolean {
      held = false
      for (const signal of HELD) process.off(signal, ignore)
      return process.listenerCount('SIGTERM') > 0 && process.emit('SIGTERM', 'SIGTERM')
    },
  }
}
