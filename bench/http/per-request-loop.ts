// One side of `bench per-request`: node per-request-loop.ts <bare|hooked> <keep-alive|close> <seconds>. Prints nanoseconds by request.
//
// The requests come over streams within this process, so that what is measured is JavaScript: Node's parser, its response, the
// handler, and the hooks around them. System calls, which cost several times as much, are the same for both sides.
import http from 'node:http'
import net from 'node:net'
import { Traffic } from '../../src/http/traffic.ts'
import { patchAsyncOperations } from '../../src/patches/async-operations.ts'
import { patchServers } from '../../src/patches/http-server.ts'
import { ms } from '../../src/resilience/duration.ts'

const [side, mode, seconds] = process.argv.slice(2)
if (side === 'hooked') {
  patchServers(new Traffic(undefined, { requestTimeout: ms(30_000), maxProxyQueueTime: ms(10_000) }))
  patchAsyncOperations({ trace: true, propagate: true })
}

const closes = mode === 'close'
const request = Buffer.from(`GET / HTTP/1.1\r\nHost: bench\r\nConnection: ${closes ? 'close' : 'keep-alive'}\r\n\r\n`)

const server = http.createServer((_request, response) => {
  const body = JSON.stringify({ hello: 'world' })
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  response.end(body)
})

/** The server's end of a connection: a socket without a kernel behind it. Each answer, written in one piece, asks for the next request. */
class Wire extends net.Socket {
  override _read(): void {}

  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    count++
    done()
    if (!closes) setImmediate(() => this.push(request))
  }

  override _final(done: () => void): void {
    done()
    // What a client does that has its answer.
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

// Several at once, as under load: a turn of the loop serves them all.
for (let index = 0; index < 16; index++) connect()

/** CPU time, because somebody else may use the machine too. */
function cpuNanoseconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1_000
}

const WINDOW = 250
// The first second is for the compiler.
let windows = -1_000 / WINDOW
let least = Number.POSITIVE_INFINITY
let from = 0

// Of many short looks the least is what it costs while nobody else has the caches.
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
