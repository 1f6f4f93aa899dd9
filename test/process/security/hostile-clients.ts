import { spawn } from 'node:child_process'
import net from 'node:net'

/** Clients that attack a server from a process of their own, so that they do not delay probes. */
export interface HostileClients extends Disposable {
  /** What they have seen so far. */
  readonly seen: { readonly connections: number; readonly answers: number }
}

export interface Attack {
  /**
   * - `pipeline`: thousands of requests at once, and no answer is read.
   * - `keep-alive`: one request after the other.
   * - `half-open`: a request that never ends, a byte a second.
   * - `reconnect`: connections that are closed at once.
   * - `upload`: a body without end.
   */
  readonly kind: 'pipeline' | 'keep-alive' | 'half-open' | 'reconnect' | 'upload'
  /** Connections at a time; one that is closed is opened again. */
  readonly clients: number
  /** A port of 127.0.0.1, or the path of a Unix socket. */
  readonly to: number | string
  /** What a connection sends, after the other. Default: one for `/livez`. */
  readonly requests?: readonly string[]
}

const PIPELINED = 200 * 1024

/** Attacks until it is disposed. */
export function attack(options: Attack): HostileClients {
  const child = spawn(process.execPath, ['--no-warnings', import.meta.filename, JSON.stringify(options)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let seen = { connections: 0, answers: 0 }
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    const last = lines.at(-1)
    if (last !== undefined) seen = JSON.parse(last) as typeof seen
  })
  return {
    get seen() {
      return seen
    },
    [Symbol.dispose]: () => void child.kill('SIGKILL'),
  }
}

export const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`

function run({ kind, clients, to, requests = [get('/livez')] }: Attack): void {
  const seen = { connections: 0, answers: 0 }
  const [first = ''] = requests
  const many = requests.join('').repeat(Math.ceil(PIPELINED / requests.join('').length))
  const open = (): void => {
    const socket = typeof to === 'string' ? net.connect(to) : net.connect(to, '127.0.0.1')
    let timer: NodeJS.Timeout | undefined
    let turn = 0
    const next = (): void => {
      socket.write(requests[turn++ % requests.length] ?? '')
    }
    socket.on('error', () => {})
    socket.on('close', () => {
      clearInterval(timer)
      setTimeout(open, kind === 'reconnect' ? 0 : 20)
    })
    if (kind === 'pipeline') socket.pause()
    else {
      socket.on('data', (chunk) => {
        seen.answers += 1
        // An answer that comes in several chunks is counted, and followed by a request, for each.
        if (kind === 'keep-alive' && chunk.length > 0) next()
      })
    }
    socket.on('connect', () => {
      seen.connections += 1
      if (kind === 'reconnect') socket.destroy()
      else if (kind === 'pipeline') socket.write(many)
      else if (kind === 'keep-alive') next()
      else if (kind === 'half-open') {
        socket.write(first.slice(0, -4))
        timer = setInterval(() => socket.write('x'), 1_000)
      } else {
        socket.write('POST /status HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n')
        const piece = `4000\r\n${'x'.repeat(0x4000)}\r\n`
        const send = (): void => {
          if (!socket.destroyed) socket.write(piece, () => setImmediate(send))
        }
        send()
      }
    })
  }
  for (let client = 0; client < clients; client++) open()
  setInterval(() => process.stdout.write(`${JSON.stringify(seen)}\n`), 100)
  // The test has exited.
  process.stdin.resume().on('end', () => process.exit())
}

const [, main, options] = process.argv
if (main === import.meta.filename && options !== undefined) run(JSON.parse(options) as Attack)
