import { spawn } from 'node:child_process'
import type { Log } from '../diagnostics/log.ts'
import { after, type Cancel, every, monotonicNow } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'

/** What the service manager (systemd) is told of the arbiter's life. Nothing here throws, waits or rejects. */
export interface ServiceManager {
  /** The first generation serves, or a reload is over. */
  ready(): void
  reloading(): void
  stopping(): void
  /** One line for `systemctl status`. */
  status(text: string): void
  /** Ends the watchdog's pings and says what is still to be said, for at most `limit`. */
  close(limit: Milliseconds): Promise<void>
}

export interface ServiceManagerOptions {
  /** Read, and rid of systemd's variables. Default: `process.env`. */
  readonly env?: Record<string, string | undefined>
  readonly log: Pick<Log, 'warn'>
}

const CALL_LIMIT = ms(2_000)
/** Messages that wait behind one that is being sent. */
const LONGEST_QUEUE = 16
/** Pings closer together than this would only cost processes. */
const SHORTEST_PING = 100

const SILENT: ServiceManager = {
  ready: () => {},
  reloading: () => {},
  stopping: () => {},
  status: () => {},
  close: async () => {},
}

/**
 * Speaks to systemd if `NOTIFY_SOCKET` is set; else does nothing. Call it before the first worker is started: it removes
 * `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` from the environment, so that no worker inherits them and speaks for the arbiter.
 *
 * Node has no Unix datagram sockets, so each message is sent by `systemd-notify`, which every machine with systemd has. Its messages come
 * from a child of the main process: the unit needs `NotifyAccess=all` (with `Type=notify` or `Type=notify-reload`), as systemd takes
 * messages from the main process alone by default. The program waits until systemd has read the message, so that the sender is known
 * when it is read; each call is ended after 2 s. Messages are sent one at a time and in order; status and pings join the next.
 *
 * The watchdog is pinged at half of `WATCHDOG_USEC`, from a timer of the arbiter's event loop: when that stops turning, so do the pings.
 */
export function createServiceManager(options: ServiceManagerOptions): ServiceManager {
  const env = options.env ?? process.env
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: interval, WATCHDOG_PID: pid } = env
  delete env.NOTIFY_SOCKET
  delete env.WATCHDOG_USEC
  delete env.WATCHDOG_PID
  if (socket === undefined || socket === '') return SILENT
  return new Systemd(socket, options.log, watchdogInterval(interval, pid))
}

/** Half of what systemd allows, in milliseconds; null where it does not watch this process. */
function watchdogInterval(microseconds: string | undefined, pid: string | undefined): Milliseconds | null {
  if (microseconds === undefined || !/^[1-9]\d*$/.test(microseconds)) return null
  if (pid !== undefined && pid !== '' && Number(pid) !== process.pid) return null
  return ms(Math.max(Number(microseconds) / 1_000 / 2, SHORTEST_PING))
}

class Systemd implements ServiceManager {
  readonly #socket: string
  readonly #log: Pick<Log, 'warn'>
  readonly #stopPinging: Cancel
  readonly #states: string[][] = []
  #status: string | null = null
  #ping = false
  #warned = false
  #sending: Promise<void> | null = null

  constructor(socket: string, log: Pick<Log, 'warn'>, interval: Milliseconds | null) {
    this.#socket = socket
    this.#log = log
    const ping = (): void => {
      this.#ping = true
      this.#send()
    }
    this.#stopPinging = interval === null ? () => {} : every(interval, ping)
    if (interval !== null) ping()
  }

  ready(): void {
    this.#say(['READY=1'])
  }

  reloading(): void {
    // systemd pairs the message with the signal it sent by this time.
    this.#say(['RELOADING=1', `MONOTONIC_USEC=${Math.round(monotonicNow() * 1_000)}`])
  }

  stopping(): void {
    this.#say(['STOPPING=1'])
  }

  status(text: string): void {
    this.#status = text.replaceAll(/\s+/g, ' ').slice(0, 500)
    this.#send()
  }

  async close(limit: Milliseconds): Promise<void> {
    this.#stopPinging()
    const sending = this.#sending
    if (sending === null) return
    await new Promise<void>((resolve) => {
      const cancel = after(limit, resolve)
      void sending.then(() => {
        cancel()
        resolve()
      })
    })
  }

  #say(state: string[]): void {
    this.#states.push(state)
    if (this.#states.length > LONGEST_QUEUE) this.#states.shift()
    this.#send()
  }

  #send(): void {
    this.#sending ??= this.#sendAll()
  }

  async #sendAll(): Promise<void> {
    for (let message = this.#next(); message.length > 0; message = this.#next()) {
      const fault = await notify(this.#socket, message)
      if (fault !== null && !this.#warned) {
        this.#warned = true
        this.#log.warn(
          { event: 'systemd-notify-failed', reason: fault.reason },
          `systemd is not told how Punctual is: ${fault.why}; this is said once`,
        )
      }
    }
    this.#sending = null
  }

  #next(): string[] {
    const message = [...(this.#states.shift() ?? [])]
    if (this.#status !== null) message.push(`STATUS=${this.#status}`)
    if (this.#ping) message.push('WATCHDOG=1')
    this.#status = null
    this.#ping = false
    return message
  }
}

interface NotifyFault {
  readonly reason: 'not-found' | 'not-started' | 'timed-out' | 'failed'
  readonly why: string
}

/** Sends one message; what went wrong, or null. */
function notify(socket: string, message: readonly string[]): Promise<NotifyFault | null> {
  return new Promise((resolve) => {
    const child = spawn('systemd-notify', message, {
      env: { PATH: process.env.PATH ?? '/usr/bin:/bin', NOTIFY_SOCKET: socket },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let said = ''
    const end = (fault: NotifyFault | null): void => {
      cancel()
      resolve(fault)
    }
    const cancel = after(CALL_LIMIT, () => {
      child.kill('SIGKILL')
      end({ reason: 'timed-out', why: 'systemd-notify did not end within 2 s' })
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (said.length < 1_000) said += text
    })
    child.once('error', (error: NodeJS.ErrnoException) => {
      end(
        error.code === 'ENOENT'
          ? { reason: 'not-found', why: 'systemd-notify is not on the PATH' }
          : { reason: 'not-started', why: `systemd-notify did not start (${error.message})` },
      )
    })
    child.once('close', (code) =>
      end(
        code === 0 ? null : { reason: 'failed', why: `systemd-notify failed (${said.trim() || `exit code ${code}`})` },
      ),
    )
  })
}
