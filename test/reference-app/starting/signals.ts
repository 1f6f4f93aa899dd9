import { closeSync, openSync } from 'node:fs'
import { every, monotonicNow } from '../../../src/resilience/clock.ts'
import { ms } from '../../../src/resilience/duration.ts'

/** A signal for all of `npm start`: HUP reloads Punctual, the others stop it. */
export type StartSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'

// npm sends each Ctrl-C again to its child process, a few milliseconds after the terminal did. A
// person who presses it twice takes longer.
const NPM_ECHO = ms(500)

/**
 * Reports each signal once: npm's echo of a Ctrl-C is dropped, because Punctual takes a second INT
 * for "stop now". A HUP from a closed terminal becomes a TERM, and so does the exit of npm, if npm
 * started us.
 */
export function hearSignals(hear: (signal: StartSignal) => void): void {
  const underNpm = process.env.npm_lifecycle_event !== undefined
  const hadTerminal = hasTerminal()
  const heard = new Map<string, number>()
  let stopping = false
  const pass = (signal: StartSignal): void => {
    stopping ||= signal !== 'SIGHUP'
    hear(signal)
  }
  // One cause can have several effects: a closed terminal also ends npm. Only a person asks twice.
  const stopOnce = (): void => {
    if (!stopping) pass('SIGTERM')
  }

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      const now = monotonicNow()
      const last = heard.get(signal)
      heard.set(signal, now)
      if (underNpm && last !== undefined && now - last < NPM_ECHO) return
      if (signal === 'SIGHUP' && hadTerminal && !hasTerminal()) stopOnce()
      else pass(signal)
    })
  }

  if (!underNpm) return
  const npm = process.ppid
  const cancel = every(ms(1_000), () => {
    if (process.ppid === npm) return
    cancel()
    stopOnce()
  })
}

function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'))
    return true
  } catch {
    return false
  }
}
