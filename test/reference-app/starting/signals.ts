import { closeSync, openSync } from 'node:fs'
import { every, monotonicNow } from '../../../src/resilience/clock.ts'
import { ms } from '../../../src/resilience/duration.ts'

/** A signal meant for the whole of `npm start`: HUP reloads Punctual, the others stop it. */
export type StartSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'

// npm sends each Ctrl-C once more to the process it runs, which has had it from the terminal already, a few
// milliseconds apart. A person who means a second one takes longer, or presses again.
const NPM_ECHO = ms(500)

/**
 * Hears the signals, once each: npm's echo of a Ctrl-C is dropped, since Punctual takes a second INT for "stop now". A HUP
 * because the terminal was closed becomes a TERM, and so does the end of npm itself, when npm started us.
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
  // One cause may show in several ways: a closed terminal takes npm along. Only a person can ask twice.
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
