/**
 * Patches of `process.emit` and `process.removeAllListeners`.
 *
 * Why: a signal to the process group (Ctrl-C, a closing terminal, a service manager's stop) reaches
 * workers too, but only the arbiter decides when a worker exits. Listeners of the app must not run
 * before it has drained.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: src/patches/signals.test.ts
 */
import { constants } from 'node:os'

const HELD = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP'] as const

type Listener = (...args: unknown[]) => void

/** How the app wants to learn that it is to stop. */
export type StopNotice = 'SIGTERM' | 'SIGINT' | 'message'

export interface HeldSignals {
  /**
   * How the app would be notified now: by its listeners for `SIGTERM`, else for `SIGINT`, else by
   * the message `shutdown` of PM2. Null if it listens for none of them.
   */
  readonly notice: StopNotice | null
  /**
   * From now on signals have their usual effect. Runs the listeners of the app's notice, and
   * returns which one that was; null if there are none.
   */
  release(): StopNotice | null
}

/** Withholds these signals from the app's listeners until `release`. */
export function holdSignals(): HeldSignals {
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
  // That of `node:cluster`, which passes messages on to `cluster.worker`.
  const own = process.listeners('message') as Listener[]
  const hasListeners = (event: string): boolean =>
    (process.listeners(event as 'message') as Listener[]).some((one) => one !== ignore && !own.includes(one))
  const find = (): StopNotice | null =>
    (['SIGTERM', 'SIGINT', 'message'] as const).find((notice) => hasListeners(notice)) ?? null

  return {
    get notice(): StopNotice | null {
      return find()
    },
    release(): StopNotice | null {
      held = false
      for (const signal of HELD) process.off(signal, ignore)
      const notice = find()
      if (notice === 'message') process.emit('message', 'shutdown', undefined)
      else if (notice !== null) (process.emit as typeof emit).call(process, notice, notice, constants.signals[notice])
      return notice
    },
  }
}
