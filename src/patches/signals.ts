/**
 * Patches of `process.emit` and `process.removeAllListeners`.
 *
 * Why: a signal to the process group (Ctrl-C, a closing terminal, a service manager's stop) reaches
 * workers too, but only the arbiter decides when a worker exits. Listeners of the app must not run
 * before it has drained.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: src/patches/signals.test.ts
 */
const HELD = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP'] as const

/** Withholds these signals from the app's listeners until `release`. */
export function holdSignals(): { release(): boolean } {
  const emit = process.emit as (event: string | symbol, ...args: unknown[]) => boolean
  let held = true
  process.emit = ((event: string | symbol, ...args: unknown[]): boolean => {
    if (held && (HELD as readonly unknown[]).includes(event)) return true
    return emit.call(process, event, ...args)
  }) as typeof process.emit
  const ignore = (): void => {}
  const hold = (): void => {
    // Without a listener the signal would end the process.
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
    /** Runs the app's SIGTERM listeners, as the signal would; false if it has none. */
    release(): boolean {
      held = false
      for (const signal of HELD) process.off(signal, ignore)
      return process.listenerCount('SIGTERM') > 0 && process.emit('SIGTERM', 'SIGTERM')
    },
  }
}
