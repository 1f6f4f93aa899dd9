import { spawn } from 'node:child_process'
import type { Log } from '../diagnostics/log.ts'
import { type Cancel, every, monotonicNow } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import { promiseAtMost, waitAtMost } from '../resilience/wait-at-most.ts'

/** Reports the state of the arbiter to the service manager. No method throws, waits or rejects. */
export interface ServiceManager {
  /** The first generation serves, or a reload is complete. */
  ready(): void
  reloading(): void
  stopping(): void
  /** One line for `systemctl status`. */
  status(text: string): void
  /** Stops the watchdog pings and waits for queued messages, for at most `timeout`. */
  close(timeout: Milliseconds): Promise<void>
}

export interface ServiceManagerOptions {
  /** Read, and systemd's variables removed from it. Default: `process.env`. */
  readonly env?: Record<string, string | undefined>
  readonly log: Pick<Log, 'warn'>
}

const CALL_TIMEOUT = ms(2_000)
const MAX_QUEUE = 16
/** In milliseconds. Each ping starts a process. */
const MIN_PING_INTERVAL = 100
const MAX_STATUS_LENGTH = 500
const MAX_ERROR_LENGTH = 1_000

const NO_SERVICE_MANAGER: ServiceManager = {
  ready: () => {},
  reloading: () => {},
  stopping: () => {},
  status: () => {},
  close: async () => {},
}

/**
 * Reports to systemd if `NOTIFY_SOCKET` is set, and otherwise does nothing. Call it before the
 * first worker is started: it removes `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` from the
 * environment, so that no worker inherits them.
 *
 * Node has no Unix datagram sockets, so each message is sent with `systemd-notify`. Its messages
 * come from a child of the main process, so the unit needs `NotifyAccess=all` (with `Type=notify`
 * or `Type=notify-reload`). The program waits until systemd has read the message, since systemd
 * identifies the sender when it reads; it is killed after 2 s. Messages are sent one at a time and
 * in order; status and pings are added to the next message.
 *
 * The watchdog is pinged at half of `WATCHDOG_USEC` from a timer of the arbiter's event loop, so
 * pings stop when that loop is blocked.
 */
export function createServiceManager(options: ServiceManagerOptions): ServiceManager {
  const env = options.env ?? process.env
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: interval, WATCHDOG_PID: pid } = env
  delete env.NOTIFY_SOCKET
  delete env.WATCHDOG_USEC
  delete env.WATCHDOG_PID
  if (socket === undefined || socket === '') return NO_SERVICE_MANAGER
  return new Systemd(socket, options.log, pingInterval(interval, pid))
}

/** Half of what systemd allows; null if it does not watch this process. */
function pingInterval(microseconds: string | undefined, pid: string | undefined): Milliseconds | null {
  if (microseconds === undefined || !/^[1-9]\d*$/.test(microseconds)) return null
  if (pid !== undefined && pid !== '' && Number(pid) !== process.pid) return null
  return ms(Math.max(Number(microseconds) / 1_000 / 2, MIN_PING_INTERVAL))
}

class Systemd implements ServiceManager {
  readonly #socket: string
  readonly #log: Pick<Log, 'warn'>
  readonly #stopPinging: Cancel
  readonly #states: string[][] = []
  #status: string | null = null
  #isPingDue = false
  #hasWarned = false
  #sending: Promise<void> | null = null

  constructor(socket: string, log: Pick<Log, 'warn'>, interval: Milliseconds | null) {
    this.#socket = socket
    this.#log = log
    const ping = (): void => {
      this.#isPingDue = true
      this.#send()
    }
    this.#stopPinging = interval === null ? () => {} : every(interval, ping)
    if (interval !== null) ping()
  }

  ready(): void {
    this.#sendState(['READY=1'])
  }

  reloading(): void {
    // systemd matches the message to its own signal by this time.
    this.#sendState(['RELOADING=1', `MONOTONIC_USEC=${Math.round(monotonicNow() * 1_000)}`])
  }

  stopping(): void {
    this.#sendState(['STOPPING=1'])
  }

  status(text: string): void {
    this.#status = text.replaceAll(/\s+/g, ' ').slice(0, MAX_STATUS_LENGTH)
    this.#send()
  }

  async close(timeout: Milliseconds): Promise<void> {
    this.#stopPinging()
    if (this.#sending !== null) await waitAtMost(timeout, this.#sending)
  }

  #sendState(state: string[]): void {
    this.#states.push(state)
    if (this.#states.length > MAX_QUEUE) this.#states.shift()
    this.#send()
  }

  #send(): void {
    this.#sending ??= this.#sendAll()
  }

  async #sendAll(): Promise<void> {
    for (let message = this.#nextMessage(); message.length > 0; message = this.#nextMessage()) {
      const failure = await notify(this.#socket, message)
      if (failure === null || this.#hasWarned) continue
      this.#hasWarned = true
      this.#log.warn(
        { event: 'systemd-notify-failed', reason: failure.reason },
        `could not notify systemd: ${failure.message}; further failures are not logged`,
      )
    }
    this.#sending = null
  }

  #nextMessage(): string[] {
    const message = [...(this.#states.shift() ?? [])]
    if (this.#status !== null) message.push(`STATUS=${this.#status}`)
    if (this.#isPingDue) message.push('WATCHDOG=1')
    this.#status = null
    this.#isPingDue = false
    return message
  }
}

interface NotifyFailure {
  readonly reason: 'not-found' | 'not-started' | 'timed-out' | 'failed'
  readonly message: string
}

/** Sends one message; resolves with what went wrong, or null. */
function notify(socket: string, message: readonly string[]): Promise<NotifyFailure | null> {
  const child = spawn('systemd-notify', message, {
    env: { PATH: process.env.PATH ?? '/usr/bin:/bin', NOTIFY_SOCKET: socket },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (stderr.length < MAX_ERROR_LENGTH) stderr += text
  })
  return promiseAtMost(
    CALL_TIMEOUT,
    (resolve: (failure: NotifyFailure | null) => void) => {
      child.once('error', ({ code, message }: NodeJS.ErrnoException) =>
        resolve(
          code === 'ENOENT'
            ? { reason: 'not-found', message: 'systemd-notify is not on the PATH' }
            : { reason: 'not-started', message: `systemd-notify did not start (${message})` },
        ),
      )
      child.once('close', (code) => {
        const why = stderr.trim() || `exit code ${code}`
        resolve(code === 0 ? null : { reason: 'failed', message: `systemd-notify failed (${why})` })
      })
    },
    () => {
      child.kill('SIGKILL')
      return { reason: 'timed-out', message: 'systemd-notify did not exit within 2 s' }
    },
  )
}
