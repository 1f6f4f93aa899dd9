import { close, constants, fstatSync, openSync, write, writeSync } from 'node:fs'
import { after } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'

/** Where a log's bytes go. One write at a time; `done` is called once, perhaps before `write` returns. */
export interface LogSink {
  write(bytes: Buffer, done: (error: Error | null) => void): void
  close(): void
}

/** First and longest pause before a full pipe is tried again. */
const FIRST_RETRY = 5
const LONGEST_RETRY = 100

/**
 * The way to write to a descriptor that can block neither the event loop nor the end of the process.
 *
 * A blocking write in Node's thread pool is no such way: a thread stuck in `write` on a full pipe keeps `process.exit` from ever
 * returning. So pipes and terminals are opened a second time, non-blocking: the description is our own, and the workers that inherited
 * the first one keep their mode. Sockets (the journal's) cannot be opened again and are left to Node's stream. Files cannot be full of
 * unread lines and are written in the thread pool.
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
      // No /proc (macOS), or a pipe of another user: the stream will do.
    }
  }
  if (descriptor === 1) return streamSink(process.stdout)
  return descriptor === 2 ? streamSink(process.stderr) : fileSink(descriptor)
}

/** A Node stream. It is not ended on close: it may be the process's own. */
export function streamSink(stream: NodeJS.WritableStream): LogSink {
  // Without a listener a reader that goes away would end the arbiter.
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
      const next = rest.length < bytes.length ? FIRST_RETRY : Math.min(wait * 2, LONGEST_RETRY)
      after(ms(next), () => writeOn(rest, done, next), { keepAlive: false })
      return
    }
    done(null)
  }
  return {
    write: (bytes, done) => writeOn(bytes, done, FIRST_RETRY),
    close: () => {
      closed = true
      close(descriptor, () => {})
    },
  }
}

function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EAGAIN' || error.code === 'EWOULDBLOCK')
}
