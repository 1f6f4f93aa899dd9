import { constants } from 'node:os'

/** Signals that are orders to the arbiter. */
export const ORDER_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGTTIN', 'SIGTTOU'] as const

/**
 * Signals that would end the arbiter, and that an app may listen for: they are passed on to the
 * workers. Not among them: SIGKILL and SIGSTOP; faults of the process itself (SIGSEGV, SIGBUS,
 * SIGFPE, SIGILL, SIGTRAP), which must end it; SIGPIPE and SIGXFSZ, which Node ignores.
 */
const PASSED_SIGNALS = [
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGVTALRM',
  'SIGPROF',
  'SIGABRT',
  'SIGIO',
  'SIGPWR',
  'SIGXCPU',
  'SIGSTKFLT',
  'SIGSYS',
] as const satisfies readonly NodeJS.Signals[]

/** The profiler of V8 uses SIGPROF. */
const PROFILED = /--(?:cpu-)?prof\b/

/** The signals to pass on that this system has. */
export function passedSignals(): readonly NodeJS.Signals[] {
  const isProfiled = PROFILED.test([...process.execArgv, process.env.NODE_OPTIONS ?? ''].join(' '))
  return PASSED_SIGNALS.filter((signal) => signal in constants.signals && !(isProfiled && signal === 'SIGPROF'))
}

/**
 * Keeps signals from ending this process until the arbiter handles them, and while it exits. Those
 * that ask it to stop still end it, unless `stop` is set.
 */
export function surviveSignals({ stop }: { readonly stop: boolean }): void {
  const stopping: readonly string[] = ['SIGTERM', 'SIGINT', 'SIGQUIT']
  const orders = ORDER_SIGNALS.filter((signal) => stopping.includes(signal) === stop)
  for (const signal of stop ? orders : [...orders, ...passedSignals()]) {
    process.on(signal, () => {})
  }
}
