// The load generator if wrk is not installed: `node client-loop.ts <url> <mode> <connections> <seconds>`
// prints the result as JSON. Each client sends its next request as soon as it has a response.
import net from 'node:net'
import { createHistogram } from 'node:perf_hooks'

export interface ClientsResult {
  readonly requests: number
  readonly microseconds: number
  /** In microseconds. */
  readonly p99: number
  /** Connections that failed, and responses other than 200. */
  readonly faults: number
}

const [address = '', mode = '', connections = '', seconds = ''] = process.argv.slice(2)
const url = new URL(address)
const request = `GET ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\nConnection: ${mode}\r\n\r\n`
const latencies = createHistogram()
const startedAt = process.hrtime.bigint()
const end = startedAt + BigInt(seconds) * 1_000_000_000n
let faults = 0
let open = 0

for (let client = 0; client < Number(connections); client++) connect()

/** Opens the connection of a client, and again after each response that closes it. */
function connect(): void {
  let sentAt = 0n
  let received = ''
  const send = (): void => {
    received = ''
    sentAt = process.hrtime.bigint()
    if (sentAt >= end) socket.end()
    else socket.write(request)
  }
  const count = (): void => {
    latencies.record(process.hrtime.bigint() - sentAt)
    if (!received.startsWith('HTTP/1.1 200 ')) faults++
  }
  open++
  const socket = net.connect({ port: Number(url.port), host: url.hostname, noDelay: true }, send)
  socket.setEncoding('latin1')
  socket.on('data', (chunk: string) => {
    received += chunk
    if (mode === 'close' || !isComplete(received)) return
    count()
    send()
  })
  socket.on('error', () => faults++)
  socket.on('end', () => {
    if (mode === 'close' && received !== '') count()
    // A server that closes a kept connection is a fault; after the end, this client closes it.
    else if (process.hrtime.bigint() < end) faults++
  })
  socket.on('close', () => {
    open--
    if (process.hrtime.bigint() < end) connect()
    else if (open === 0) printResult()
  })
}

function isComplete(response: string): boolean {
  const head = response.indexOf('\r\n\r\n')
  if (head === -1) return false
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(response)?.[1])
  return response.length >= head + 4 + length
}

function printResult(): void {
  const microseconds = Number(process.hrtime.bigint() - startedAt) / 1_000
  const result: ClientsResult = {
    requests: latencies.count,
    microseconds,
    p99: latencies.percentile(99) / 1_000,
    faults,
  }
  console.log(JSON.stringify(result))
}
