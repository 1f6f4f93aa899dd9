import { close, constants, fstatSync, openSync, write, writeSync } from 'node:fs'
import { after } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'

/** The destination of a log. It takes one write at a time and may call `done` synchronously. */
export interface LogSink {
  write(bytes: Buffer, done: (error: Error | null) => void): void
  close(): void
}

/** Delays before a write to a full pipe is retried, in milliseconds. */
const MIN_RETRY_DELAY = 5
const MAX_RETRY_DELAY = 100

/**
 * Writes to a descriptor without ever blocking the event loop or the exit of the process.
 *
 * A blocking write in Node's thread pool could: a thread stuck in `write` on a full pipe prevents
 * `process.exit` from returning. So pipes and terminals are opened a second time, non-blocking; the
 * workers that inherited the first descriptor keep its mode. Sockets (of the journal) cannot be
 * opened again and use Node's stream. Files never block on a reader and use the thread pool.
 */
export function descriptorSink(descriptor: number): LogSink {
  const kind = fstatSync(descriptor)
  if (kind.isFile()) return fileSink(descriptor)
  if (kind.isFIFO() || kind.isCharacterDevice()) {
    try {
      return nonBlockingSink(
        openSync(`/proc/self/fd/${descriptor}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY),
      )
    } catch {
      // Without /proc (macOS), or for a pipe of another user, the stream is used.
    }
  }
  if (descriptor === 1) return streamSink(process.stdout)
  return descriptor === 2 ? streamSink(process.stderr) : fileSink(descriptor)
}

/** Writes to a Node stream. Closing does not end it, since it may be the process's own. */
export function streamSink(stream: NodeJS.WritableStream): LogSink {
  // Without a listener, a reader that disconnects would end the arbiter.
  stream.on('error', () => {})
  return {
    write: (bytes, done) => {
      stream.write(bytes, (error) => done(error ?? null))
    },
    close: () => {},
  }
}

function fileSink(descriptor: number): LogSink {
  const writeOn = (bytes: Buffer, done: (error: Error | null) => void): void => {
    write(descriptor, bytes, (error, written) => {
      if (error === null && written < bytes.length) return writeOn(bytes.subarray(written), done)
      done(error)
    })
  }
  return { write: writeOn, close: () => {} }
}

function nonBlockingSink(descriptor: number): LogSink {
  let closed = false
  const writeOn = (bytes: Buffer, done: (error: Error | null) => void, wait: number): void => {
    if (closed) {
      done(new Error('the log is closed'))
      return
    }
    let rest = bytes
    try {
      while (rest.length > 0) rest = rest.subarray(writeSync(descriptor, rest))
    } catch (error) {
      if (!isFull(error)) {
        done(error as Error)
        return
      }
      const next = rest.length < bytes.length ? MIN_RETRY_DELAY : Math.min(wait * 2, MAX_RETRY_DELAY)
      after(ms(next), () => writeOn(rest, done, next), { keepAlive: false })
      return
    }
    done(null)
  }
  return {
    write: (bytes, done) => writeOn(bytes, done, MIN_RETRY_DELAY),
    close: () => {
      closed = true
      close(descriptor, () => {})
    },
  }
}

function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EAGAIN' || error.code === 'EWOULDBLOCK')
}
