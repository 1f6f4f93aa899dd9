import net from 'node:net'

const random = (below: number): number => Math.floor(Math.random() * below)
const pick = <T>(values: readonly T[]): T => values[random(values.length)] as T
const bytes = (length: number): Buffer => Buffer.from(Array.from({ length }, () => random(256)))

const AT_ONCE = 24
/** How long a client waits for the server to close, in milliseconds. */
const LIMIT = 15_000

/**
 * Sends inputs to a server, some at a time, each in pieces on a connection of its own. Resolves
 * with what was answered to each; rejects if the server keeps a connection whose client has ended.
 */
export async function fuzzSocket(count: number, to: net.NetConnectOpts, input: () => Buffer): Promise<string[]> {
  const answers: string[] = []
  let left = count
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (left-- > 0) answers.push(await sendOnce(to, input()))
    }),
  )
  return answers
}

function sendOnce(to: net.NetConnectOpts, input: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(to)
    let received = ''
    const timer = setTimeout(() => {
      socket.destroy()
      reject(new Error(`not closed after ${LIMIT} ms: ${JSON.stringify(input.toString('latin1').slice(0, 500))}`))
    }, LIMIT)
    socket.setEncoding('latin1').on('data', (text: string) => {
      received += text
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(received)
    })
    const middle = random(input.length)
    socket.write(input.subarray(0, middle))
    const leaves = random(4) === 0
    setImmediate(() => {
      if (leaves && random(2) === 0) return socket.destroy()
      socket.write(input.subarray(middle))
      if (leaves) socket.destroySoon()
      else socket.end()
    })
  })
}

const METHODS = ['GET', 'HEAD', 'POST', 'OPTIONS', 'CONNECT', 'TRACE', 'PRI', 'get', 'M-SEARCH', '', 'G'.repeat(30)]
const TARGETS = [
  '/',
  '/livez',
  '/readyz',
  '/status?x=%00',
  '/metrics',
  '/incidents',
  '/incidents/20261122T004300001-w1-stall',
  '/incidents/../../secret',
  '/incidents/%2e%2e%2f',
  '/incidents/__proto__',
  '*',
  'http://evil.example/status',
  '127.0.0.1:80',
  '//livez',
  '',
]
const VERSIONS = ['HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/0.9', 'HTTP/1.9', 'HTTP', '']
const HEADERS = [
  'Host: 127.0.0.1',
  'Host: evil.example',
  'Host: [::1',
  'host:localhost',
  'Host: a, b',
  'Content-Length: 5',
  'Content-Length: -1',
  'Content-Length: 5, 6',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: xchunked',
  'Connection: close',
  'Connection: keep-alive, Upgrade',
  'Upgrade: websocket',
  'Upgrade: h2c',
  'Expect: 100-continue',
  'Origin: null',
  'Sec-Fetch-Site: cross-site',
  ' folded: header',
  'no colon',
  ': no name',
  'Name : space',
  'X: \0',
  'X: \x7f\xff',
  '__proto__: x',
  'constructor: x',
]

/** A request to the admin server that may be anything. */
export function httpInput(): Buffer {
  if (random(12) === 0) return bytes(1 + random(2_000))
  if (random(30) === 0) return Buffer.concat([Buffer.from([0x16, 3, 1, 2, 0, 1]), bytes(300)])
  const requests = Array.from({ length: random(5) === 0 ? 1 + random(40) : 1 }, () => {
    const target = random(20) === 0 ? `/${'x'.repeat(random(20_000))}` : pick(TARGETS)
    const headers = Array.from({ length: random(random(20) === 0 ? 300 : 6) }, () => pick(HEADERS))
    if (random(20) === 0) headers.push(`X: ${'y'.repeat(random(20_000))}`)
    if (random(3) > 0) headers.unshift('Host: 127.0.0.1')
    const end = random(10) === 0 ? '\n' : '\r\n'
    const method = random(2) === 0 ? 'GET' : pick(METHODS)
    const version = random(3) > 0 ? 'HTTP/1.1' : pick(VERSIONS)
    const body =
      random(6) === 0
        ? pick(['hello', '5\r\nhello\r\n0\r\n\r\n', 'ffffffffffffffff\r\n', 'z'.repeat(random(100_000))])
        : ''
    return [`${method} ${target} ${version}`, ...headers, '', ''].join(end) + body
  })
  return damaged(Buffer.from(requests.join(''), 'latin1'))
}

/** Nothing that would stop or reload the server. */
const COMMANDS = ['status', 'incidents', 'incident', 'settings', 'set', 'unset', 'scale', 'constructor', '', 7, null]
const VALUES = [null, true, -1, 0, 1e300, '', 'x', '__proto__', '../../x', [], {}, { to: 0 }, { by: 'x' }, { '': '' }]

/** What a client of the control socket may send. */
export function controlInput(): Buffer {
  if (random(12) === 0) return bytes(1 + random(2_000))
  if (random(20) === 0) return Buffer.from(`${'['.repeat(random(200_000))}\n`)
  if (random(20) === 0) return Buffer.from('x'.repeat(random(300_000)))
  const lines = Array.from({ length: 1 + random(random(4) === 0 ? 60 : 3) }, () => {
    const names = ['change', 'incident', 'values', 'force', 'names', 'id', 'toString'].filter(() => random(3) === 0)
    const given = Object.fromEntries(names.map((name) => [name, pick(VALUES)]))
    return JSON.stringify({ ...(random(5) === 0 ? {} : { id: random(100) }), command: pick(COMMANDS), ...given })
  })
  return damaged(Buffer.from(`${lines.join(pick(['\n', '\n\n', '\r\n']))}\n`))
}

/** Half of them as they are, others cut, repeated, or with other bytes. */
function damaged(input: Buffer): Buffer {
  const at = random(input.length)
  switch (random(8)) {
    case 0:
      return input.subarray(0, 1 + at)
    case 1:
      return Buffer.concat([input, input.subarray(at)])
    case 2: {
      const changed = Buffer.from(input)
      for (let times = 0; times < 3; times++) changed[random(changed.length)] = random(256)
      return changed
    }
    case 3:
      return Buffer.concat([input.subarray(0, at), bytes(5), input.subarray(at)])
    default:
      return input
  }
}
