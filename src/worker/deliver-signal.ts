import { constants } from 'node:os'

type EmitSignal = (event: string, signal: string, code: number) => boolean

/**
 * Delivers a signal that the arbiter received. Without a listener of the app it has no effect,
 * except that Node opens its inspector on SIGUSR1, in one worker only because the port is the same
 * in all.
 */
export function deliverSignal(signal: NodeJS.Signals, inspect: boolean): void {
  if (process.listenerCount(signal) > 0)
    (process.emit as EmitSignal).call(process, signal, signal, constants.signals[signal])
  else if (signal === 'SIGUSR1' && inspect && !isInspectorDisabled()) process.kill(process.pid, signal)
}

function isInspectorDisabled(): boolean {
  return [...process.execArgv, process.env.NODE_OPTIONS ?? ''].some((flags) => flags.includes('--disable-sigusr1'))
}
