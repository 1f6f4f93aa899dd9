import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import net, { type AddressInfo } from 'node:net'
import { after, describe, test } from 'node:test'
import { BEGUN, OPAQUE, WAITING } from '../http/connection-table.ts'
import { rawResponse } from '../http/raw-response.ts'
import { respondInstead } from '../http/respond-instead.ts'
import { runningRequest, scopes } from '../http/scope.ts'
import { Traffic } from '../http/traffic.ts'
import { patchServers } from './http-server.ts'

// The prototypes are patched once per process, as in a worker.
const traffic = new Traffic()
patchServers(traffic)

const open: net.Server[] = []
after(() => {
  for (const server of open) {
    server.close()
    if (server instanceof http.Server) server.closeAllConnections()
  }
})

async function serve(listener: http.RequestListener): Promise<number> {
  const server = http.createServer(listener).listen(0, '127.0.0.1')
  open.push(server)
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

interface Answer {
  readonly status: number
  readonly body: string
  readonly headers: http.IncomingHttpHeaders
}

function ask(port: number, options: http.RequestOptions = {}, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, agent: false, ...options }, async (response) => {
      let text = ''
      try {
        for await (const chunk of response) text += chunk
        resolve({ status: response.statusCode ?? 0, body: text, headers: response.headers })
      } catch (error) {
        reject(error)
      }
    })
    request.on('error', reject).end(body)
  })
}

const only = (): { flags: number; slot: number } => {
  const rows = [...traffic.table.rows()]
  assert.equal(rows.length, 1)
  return rows[0] as { flags: number; slot: number }
}

async function settled(): Promise<void> {
  for (let i = 0; i < 1_000 && traffic.connections.size > 0; i++) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(traffic.connections.size, 0)
  assert.equal(traffic.inFlight.size, 0)
  assert.equal(traffic.table.inFlight, 0)
  assert.equal(traffic.table.connections, 0)
}

describe('the row of a connection', () => {
  test('says whether its request waits, is being answered, or has been', async () => {
    const seen: number[] = []
    const port = await serve((_, response) => {
      seen.push(only().flags & (WAITING | BEGUN))
      response.writeHead(200)
      seen.push(only().flags & (WAITING | BEGUN))
      response.write('a')
      seen.push(only().flags & (WAITING | BEGUN))
      response.end('b')
    })
    assert.equal((await ask(port, { path: '/x?y=1' })).body, 'ab')
    assert.deepEqual(seen, [WAITING, WAITING, BEGUN])
    await settled()
  })

  test('is idle as soon as the kernel has accepted the whole response', async () => {
    let flags = -1
    const port = await serve((_, response) => {
      response.end('whole')
      flags = only().flags & (WAITING | BEGUN)
    })
    await ask(port)
    assert.equal(flags, 0)
    await settled()
  })

  test('names method and path, without the query', async () => {
    let text = ''
    const port = await serve((_, response) => {
      text = traffic.table.textOf(only().slot)
      response.end()
    })
    await ask(port, { method: 'PUT', path: '/some/where?with=query' })
    assert.equal(text, 'PUT /some/where')
    await settled()
  })

  test('is freed when the client disconnects before the response', async () => {
    let arrived = (): void => {}
    const here = new Promise<void>((resolve) => {
      arrived = resolve
    })
    const port = await serve(() => arrived())
    const client = net.connect(port, '127.0.0.1')
    client.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    await here
    assert.equal(traffic.inFlight.size, 1)
    client.destroy()
    for (let i = 0; i < 10_000 && traffic.inFlight.size > 0; i++) await new Promise((resolve) => setImmediate(resolve))
    await settled()
  })

  test('of pipelined requests describes the one that is next', async () => {
    const responses: http.ServerResponse[] = []
    const port = await serve((_, response) => void responses.push(response))
    const client = net.connect(port, '127.0.0.1')
    client.write('GET /1 HTTP/1.1\r\nhost: x\r\n\r\nGET /2 HTTP/1.1\r\nhost: x\r\n\r\n')
    for (let i = 0; i < 10_000 && responses.length < 2; i++) await new Promise((resolve) => setImmediate(resolve))
    assert.equal(traffic.inFlight.size, 2)
    responses[1]?.end('two')
    assert.equal(only().flags & WAITING, WAITING, 'the first still waits')
    responses[0]?.end('one')
    let text = ''
    for await (const chunk of client) {
      text += chunk
      if (text.includes('two')) break
    }
    assert.ok(text.indexOf('one') < text.indexOf('two'))
    await settled()
  })

  test('is opaque once upgraded, and for other protocols than HTTP', async () => {
    const server = http.createServer().listen(0, '127.0.0.1')
    open.push(server)
    await once(server, 'listening')
    const flags = new Promise<number>((resolve) => {
      server.on('upgrade', (_, socket) => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n')
        resolve(only().flags & OPAQUE)
        socket.destroy()
      })
    })
    const client = net.connect((server.address() as AddressInfo).port, '127.0.0.1')
    client.on('error', () => {})
    client.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n')
    assert.equal(await flags, OPAQUE)
    client.destroy()
    await settled()
  })
})

describe('the scope of a request', () => {
  test('is carried through awaits, timers, ticks and the events of its body', async () => {
    const found: (string | undefined)[] = []
    const note = (): void => void found.push(runningRequest()?.request.url)
    const port = await serve(async (request, response) => {
      note()
      await null
      note()
      await new Promise((resolve) => setImmediate(resolve))
      note()
      request.on('data', note).on('end', () => {
        note()
        process.nextTick(() => {
          note()
          response.end()
        })
      })
    })
    await ask(port, { method: 'POST', path: '/scoped' }, 'body')
    assert.deepEqual(found, Array(6).fill('/scoped'))
    await settled()
  })

  test('is carried to the end of a body that arrives after the response', async () => {
    const ended = Promise.withResolvers<string | undefined>()
    const port = await serve((request, response) => {
      request.once('data', () => {
        response.end('early')
        setImmediate(() => request.on('data', () => {}).on('end', () => ended.resolve(runningRequest()?.request.url)))
      })
    })
    const client = net.connect(port, '127.0.0.1')
    client.write('POST /late HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na')
    await once(client, 'data')
    client.end('b')
    assert.equal(await ended.promise, '/late')
    await once(client.resume(), 'close')
    await settled()
  })

  test('keeps an emit that a library of the app has set on a request', async () => {
    const events: string[] = []
    const inside: boolean[] = []
    const port = await serve((request, response) => {
      const { emit } = request
      request.emit = (event: string, ...args: unknown[]) => {
        events.push(event)
        return emit.call(request, event, ...args)
      }
      request.on('data', () => inside.push(runningRequest()?.request === request))
      request.on('end', () => response.end('done'))
    })
    await ask(port, { method: 'POST' }, 'body')
    assert.ok(events.includes('data') && events.includes('end'), events.join())
    assert.deepEqual(inside, [true])
    await settled()
  })

  test('does not affect an AsyncLocalStorage of the app', async () => {
    const own = new AsyncLocalStorage<string>()
    const port = await serve((request, response) => {
      own.run('mine', () => request.on('data', () => {}).on('end', () => response.end(runningRequest()?.request.url)))
    })
    assert.equal((await ask(port, { method: 'POST', path: '/both' }, 'x')).body, '/both')
    await settled()
  })

  test('ends with the request', async () => {
    const found: unknown[] = []
    const server = http.createServer((_, response) => response.end())
    server.on('connection', () => found.push(scopes.getStore()))
    server.listen(0, '127.0.0.1')
    open.push(server)
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    for (let i = 0; i < 3; i++) await ask(port)
    assert.deepEqual(found, [undefined, undefined, undefined])
    await settled()
  })

  test('of pipelined requests is separate', async () => {
    const found: (string | undefined)[] = []
    const port = await serve(async (_, response) => {
      await null
      found.push(runningRequest()?.request.url)
      response.end()
    })
    const client = net.connect(port, '127.0.0.1')
    client.write('GET /1 HTTP/1.1\r\nhost: x\r\n\r\nGET /2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    await once(client.resume(), 'close')
    assert.deepEqual(found, ['/1', '/2'])
    await settled()
  })

  test('is restored after a request that the app emits itself', async () => {
    const port = await serve((request, response) => {
      if (request.url === '/inner') return void response.end()
      const inner = new http.IncomingMessage(request.socket)
      Object.assign(inner, { url: '/inner', method: 'GET' })
      open.at(-1)?.emit('request', inner, new http.ServerResponse(inner))
      response.end(runningRequest()?.request.url)
    })
    assert.equal((await ask(port, { path: '/outer' })).body, '/outer')
    await settled()
  })

  test('ends with the response although middleware has replaced the request', async () => {
    const port = await serve((request, response) => {
      Object.assign(response, {
        req: Object.assign(Object.create(http.IncomingMessage.prototype), { url: request.url }),
      })
      response.end('hello')
    })
    assert.equal((await ask(port)).body, 'hello')
    assert.equal(traffic.inFlight.size, 0)
  })

  test('does not end with a second response that the app has created to capture what is written', async () => {
    let inFlight = -1
    const port = await serve((request, response) => {
      new http.ServerResponse(request).end('aside')
      inFlight = traffic.inFlight.size
      response.end('hello')
    })
    assert.equal((await ask(port)).body, 'hello')
    assert.deepEqual([inFlight, traffic.inFlight.size], [1, 0])
  })

  test('is created once for a request with Expect', async () => {
    const port = await serve((_, response) => response.end(String(traffic.inFlight.size)))
    assert.equal((await ask(port, { method: 'POST', headers: { expect: '100-continue' } }, 'x')).body, '1')
    await settled()
  })
})

describe('a response in place of the handler', () => {
  const stalled = rawResponse('PUNCTUAL_STALLED')
  const instead = (): string => {
    const scope = traffic.inFlight.oldest
    assert.ok(scope)
    return respondInstead(traffic, scope, stalled)
  }

  test('is complete, closes the connection, and later calls of the handler do nothing', async () => {
    let late: http.ServerResponse | null = null
    const port = await serve((_, response) => {
      late = response
      response.setHeader('x-half', 'built')
      response.writeHead(200)
      setImmediate(() => assert.equal(instead(), '503'))
    })
    const answer = await ask(port)
    assert.equal(answer.status, 503)
    assert.equal(answer.headers['content-type'], 'application/problem+json')
    assert.equal(answer.headers['retry-after'], '1')
    assert.equal(answer.headers.connection, 'close')
    assert.equal(JSON.parse(answer.body).type, 'urn:punctual:error:stalled')
    assert.ok(late)
    const response: http.ServerResponse = late
    response.setHeader('a', 'b').writeHead(500).write('x')
    response.end('y')
    assert.deepEqual([response.destroyed, response.headersSent, response.statusCode], [true, false, 503])
    await settled()
  })

  test('reaches a client that is still sending its body', async () => {
    const port = await serve(() => setImmediate(instead))
    const client = net.connect(port, '127.0.0.1')
    client.write(`POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10000000\r\n\r\n${'x'.repeat(100_000)}`)
    let text = ''
    for await (const chunk of client) text += chunk
    assert.match(text, /^HTTP\/1\.1 503 .*"urn:punctual:error:stalled"/s)
    await settled()
  })

  test('has no body for HEAD', async () => {
    const port = await serve(() => setImmediate(instead))
    const answer = await ask(port, { method: 'HEAD' })
    assert.equal(answer.status, 503)
    assert.equal(answer.body, '')
    await settled()
  })

  test('is sent once: a second one changes nothing', async () => {
    const port = await serve(() =>
      setImmediate(() => {
        const scope = traffic.inFlight.oldest
        assert.ok(scope)
        assert.equal(respondInstead(traffic, scope, stalled), '503')
        assert.equal(respondInstead(traffic, scope, rawResponse('PUNCTUAL_SHUTTING_DOWN')), 'none')
        assert.equal(scope.substituteStatus, 503)
      }),
    )
    const answer = await ask(port)
    assert.equal(JSON.parse(answer.body).type, 'urn:punctual:error:stalled')
    await settled()
  })

  test('over HTTP/2 ends the stream of a client that stops sending its body, and later calls of the handler do nothing', async () => {
    let late: http2.Http2ServerResponse | null = null
    const server = http2.createServer((request, response) => {
      late = response
      request.once('data', () => assert.equal(instead(), '503'))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    try {
      const stream = client.request({ ':method': 'POST', ':path': '/' })
      stream.on('error', () => {})
      stream.write('half')
      const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders]
      assert.equal(headers[':status'], 503)
      assert.ok(late)
      const response: http2.Http2ServerResponse = late
      response.setHeader('a', 'b')
      response.writeHead(500).end('y')
      // The client neither continues nor disconnects.
      const end = performance.now() + 20_000
      while (traffic.inFlight.size > 0 && performance.now() < end)
        await new Promise((resolve) => setTimeout(resolve, 20))
      assert.equal(traffic.inFlight.size, 0)
    } finally {
      client.destroy()
      server.close()
    }
  })

  test('closes a connection whose response has started', async () => {
    const port = await serve((_, response) => {
      response.write('half')
      setImmediate(() => assert.equal(instead(), 'closed'))
    })
    await assert.rejects(ask(port), { code: 'ECONNRESET' })
    await settled()
  })
})
