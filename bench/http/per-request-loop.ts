// Part of `bench -- per-request`:
// node per-request-loop.ts <bare|hooked> <keep-alive|close> <seconds>
// Prints the CPU time per request in nanoseconds.
//
// Requests arrive over streams within this process, so that only JavaScript is measured: the parser
// and the response of Node.js, the handler, and the hooks. System calls cost several times as much,
// and are the same on both sides.
import http from 'node:http'
import net from 'node:net'
import { Traffic } from '../../src/http/traffic.ts'
import { patchAsyncOperations } from '../../src/patches/async-operations.ts'
import { patchServers } from '../../src/patches/http-server.ts'
import { ms } from '../../src/resilience/duration.ts'

const [side, mode, seconds] = process.argv.slice(2)
if (side === 'hooked') {
  patchServers(new Traffic(undefined, { requestTimeout: ms(30_000), maxProxyQueueTime: ms(10_000) }))
  patchAsyncOperations({ trace: true, propagateTo: () => true })
}

const closes = mode === 'close'
const request = Buffer.from(`GET / HTTP/1.1\r\nHost: bench\r\nConnection: ${closes ? 'close' : 'keep-alive'}\r\n\r\n`)

const server = http.createServer((_request, response) => {
  const body = JSON.stringify({ hello: 'world' })
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  response.end(body)
})

/**
 * The server side of a connection, without the kernel. Each response, written in one chunk,
 * triggers the next request.
 */
class Wire extends net.Socket {
  override _read(): void {}

  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    count++
    done()
    if (!closes) setImmediate(() => this.push(request))
  }

  override _final(done: () => void): void {
    done()
    // Like a client that has its response.
    this.push(null)
    setImmediate(connect)
  }
}

let count = 0

function connect(): void {
  const wire = new Wire()
  server.emit('connection', wire)
  wire.push(request)
}

// Several connections, as under load: one turn of the event loop serves all of them.
for (let index = 0; index < 16; index++) connect()

/** CPU time, because other processes may use the machine. */
function cpuNanoseconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1_000
}

/** Milliseconds. */
const WINDOW = 250
// The first second warms up the compiler.
let windows = -1_000 / WINDOW
let least = Number.POSITIVE_INFINITY
let from = 0

// The minimum of many short windows is the cost while no other process evicts the CPU caches.
setInterval(() => {
  const now = cpuNanoseconds()
  if (windows++ > 0) least = Math.min(least, (now - from) / count)
  if (windows > (Number(seconds) * 1_000) / WINDOW) {
    console.log(least)
    process.exit()
  }
  from = cpuNanoseconds()
  count = 0
}, WINDOW)
