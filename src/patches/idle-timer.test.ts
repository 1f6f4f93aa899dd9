import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { Agent, createServer, get, type RequestListener, type Server } from 'node:http'
import https from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, test } from 'node:test'
import tls from 'node:tls'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { until, within } from '../../test/process/support/until.ts'
import { waitWheel } from '../resilience/timer-wheel.ts'
import { endIdleTimer, replaceIdleTimer } from './idle-timer.ts'

const REQUEST = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const storage = new AsyncLocalStorage<object>()
let server: Server
const sockets = new Set<Socket>()

afterEach(() => {
  for (const socket of sockets) socket.destroy()
  sockets.clear()
  server.close()
})

async function serve(listener: RequestListener, keepAliveTimeout = 5_000): Promise<number> {
  server = createServer({ keepAliveTimeout, keepAliveTimeoutBuffer: 0 }, listener)
  server.on('connection', (socket) => {
    replaceIdleTimer(socket)
    socket.on('close', () => endIdleTimer(socket))
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return (server.address() as AddressInfo).port
}

function open(port: number): Socket {
  const socket = connect(port, '127.0.0.1')
  sockets.add(socket)
  socket.on('error', () => {})
  return socket
}

test('an idle connection does not retain its last request', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const served: WeakRef<object>[] = []
  const port = await serve((_request, response) => {
    const store = {}
    served.push(new WeakRef(store))
    storage.run(store, () => response.end('done'))
  })
  const agent = new Agent({ keepAlive: true })
  try {
    await new Promise<void>((ended, failed) => {
      get({ port, host: '127.0.0.1', agent }, (response) => response.resume().once('end', ended)).once('error', failed)
    })
    await until('the request to be forgotten', () => {
      collect()
      return served[0]?.deref() === undefined
    })
    assert.equal(Object.keys(agent.freeSockets).length, 1, 'its connection is open still')
  } finally {
    agent.destroy()
  }
})

test('a connection that is in use stays open, and is closed when it has been idle for its timeout', async () => {
  const limit = 1_000
  const port = await serve((_request, response) => response.end('done'), limit)
  const socket = open(port)
  socket.on('data', () => {})
  const closed = once(socket, 'close')
  const began = performance.now()
  let answers = 0
  socket.on('data', () => {
    answers++
    // For longer than its timeout.
    if (performance.now() - began < 1.5 * limit) setTimeout(() => socket.write(REQUEST), limit / 10)
    else last = performance.now()
  })
  let last = 0
  socket.write(REQUEST)
  await within('the idle connection to be closed', closed)
  assert.ok(answers > 3, `${answers} answers`)
  assert.ok(performance.now() - last >= limit - 2, 'not before its time')
  assert.equal(waitWheel.size, 0)
})

test('bytes of an incomplete request count as activity, as with Node’s timer', async () => {
  const limit = 1_000
  const port = await serve((_request, response) => response.end('done'), limit)
  const socket = open(port)
  const answers: string[] = []
  socket.setEncoding('utf8').on('data', (text: string) => answers.push(text))
  socket.write(REQUEST)
  await until('the first answer', () => answers.length === 1)
  // In pieces, for longer than the timeout of the connection.
  for (const piece of REQUEST) {
    await new Promise((resolve) => setTimeout(resolve, limit / 16))
    socket.write(piece)
  }
  await until('the second answer', () => answers.length === 2)
})

test('a timeout set by the app runs in the context in which it was set, and can be removed', async () => {
  const stores: (object | undefined)[] = []
  const store = { mine: true }
  const port = await serve((_request, response) => {
    storage.run(store, () => {
      response.setTimeout(20, () => {
        stores.push(storage.getStore())
        response.end('late')
      })
    })
  })
  const socket = open(port)
  const answers: string[] = []
  socket.setEncoding('utf8').on('data', (text: string) => answers.push(text))
  socket.write(REQUEST)
  await until('the answer of the callback', () => answers.length === 1)
  assert.deepEqual(stores, [store])
  server.removeAllListeners('request')
  server.on('request', (_request, response) => response.end('soon'))
  socket.write(REQUEST)
  await until('the connection to be as good as before', () => answers.length === 2)
})

test('the timeout of a server applies to requests that take longer', async () => {
  const port = await serve(() => {})
  server.timeout = 50
  const socket = open(port)
  socket.resume()
  socket.write(REQUEST)
  await within('the connection to be closed', once(socket, 'close'))
})

test('the timer of a socket wrapped by TLS is refreshed by its bytes', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-tls-'))
  const [key, cert] = [join(directory, 'key'), join(directory, 'cert')]
  const ask = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  execFileSync('openssl', [...ask, '-subj', '/CN=localhost', '-keyout', key, '-out', cert], { stdio: 'ignore' })
  const limit = 1_000
  const encrypted = https.createServer(
    { key: readFileSync(key), cert: readFileSync(cert) },
    (_request, response) => void response.end('done'),
  )
  rmSync(directory, { recursive: true })
  let timedOut = false
  encrypted.on('connection', (socket: Socket) =>
    socket.setTimeout(limit, () => {
      timedOut = true
      socket.destroy()
    }),
  )
  encrypted.on('secureConnection', (socket: Socket) => {
    replaceIdleTimer(socket)
    socket.on('close', () => endIdleTimer(socket))
  })
  server = encrypted
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const socket = tls.connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
  })
  sockets.add(socket)
  socket.on('error', () => {})
  const began = performance.now()
  let answers = 0
  socket.on('data', () => {
    answers++
    // For longer than the timeout of the wrapped socket.
    if (performance.now() - began < 1.5 * limit) setTimeout(() => socket.write(REQUEST), limit / 10)
  })
  socket.write(REQUEST)
  await until(
    'the connection to have been used for longer than its timeout, or to be closed',
    () => timedOut || performance.now() - began > 1.5 * limit,
  )
  assert.equal(timedOut, false, `closed after ${answers} answers`)
})

test('invalid timeouts are rejected as Node rejects them', async () => {
  const port = await serve((request, response) => {
    assert.throws(() => request.socket.setTimeout(-1), { code: 'ERR_OUT_OF_RANGE' })
    assert.throws(() => request.socket.setTimeout('1' as never), { code: 'ERR_INVALID_ARG_TYPE' })
    request.socket.setTimeout(0)
    assert.equal(request.socket.timeout, 0)
    response.end('done')
  })
  const socket = open(port)
  socket.write(REQUEST)
  await within('the answer', once(socket, 'data'))
})
