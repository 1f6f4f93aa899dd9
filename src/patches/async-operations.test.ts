import assert from 'node:assert/strict'
import { execFile, execFileSync, spawn } from 'node:child_process'
import dgram from 'node:dgram'
import dns from 'node:dns'
import { once } from 'node:events'
import fs, { readFile } from 'node:fs'
import fsPromises from 'node:fs/promises'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { openWaits } from '../http/open-waits.ts'
import { type OpenWait, type RequestScope, runningRequest } from '../http/scope.ts'
import { Traffic } from '../http/traffic.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import { patchAsyncOperations } from './async-operations.ts'
import { patchServers } from './http-server.ts'

// The prototypes are patched once per process, as in a worker.
const traffic = new Traffic()
patchServers(traffic)
patchAsyncOperations({ trace: true, propagateTo: () => true })

const LIMIT = 20_000
const open: { close(): unknown }[] = []
const directory = fs.mkdtempSync(join(tmpdir(), 'punctual-unnamed-'))
after(() => {
  for (const server of open) {
    server.close()
    if (server instanceof http.Server) server.closeAllConnections()
  }
  fs.rmSync(directory, { recursive: true, force: true })
})

async function listen<T extends net.Server>(server: T): Promise<number> {
  open.push(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return (server.address() as AddressInfo).port
}

/** A server that reads, and responds on demand. */
async function silent(): Promise<{ port: number; sockets: net.Socket[] }> {
  const sockets: net.Socket[] = []
  const port = await listen(
    net.createServer((socket) => {
      sockets.push(socket.resume())
      socket.on('error', () => {})
      open.push({ close: () => socket.destroy() })
    }),
  )
  return { port, sockets }
}

async function until<T>(what: string, look: () => T): Promise<NonNullable<T>> {
  const end = performance.now() + LIMIT
  for (;;) {
    const found = look()
    if (found) return found
    if (performance.now() > end) throw new Error(`waited ${LIMIT} ms for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const names = (scope: RequestScope): string[] => openWaits(scope).map(({ name }) => name)

/**
 * Runs `handle` as the handler of a request, and `look` once it waits; the request is answered when
 * both are done.
 */
async function inRequest(
  handle: (scope: RequestScope) => unknown,
  look: (scope: RequestScope) => unknown,
  options: { deadline?: number } = {},
): Promise<void> {
  const began = Promise.withResolvers<RequestScope>()
  const looked = Promise.withResolvers<void>()
  const port = await listen(
    http.createServer(async (_, response) => {
      const scope = runningRequest() as RequestScope
      if (options.deadline !== undefined) scope.allow(options.deadline)
      try {
        const work = handle(scope)
        began.resolve(scope)
        await looked.promise
        await work
      } catch (error) {
        began.reject(error)
      }
      response.end()
    }),
  )
  const answered = once(http.get({ port, agent: false }), 'response')
  try {
    await look(await began.promise)
  } finally {
    looked.resolve()
  }
  const [response] = (await answered) as [http.IncomingMessage]
  await once(response.resume(), 'close')
}

const listed = (scope: RequestScope, name: string | RegExp): Promise<unknown> =>
  until(`${name} to be listed`, () =>
    names(scope).some((found) => (typeof name === 'string' ? found === name : name.test(found))),
  )
const nothing = async (scope: RequestScope): Promise<void> => {
  await until('nothing to be waited for', () => names(scope).length === 0)
  assert.equal(scope.unnamed?.size ?? 0, 0)
}

describe('a socket', () => {
  test('that was written to is listed until data arrives', async () => {
    const { port, sockets } = await silent()
    let socket: net.Socket | undefined
    await inRequest(
      () => {
        socket = net.connect(port, '127.0.0.1').resume()
        socket.write('hello')
      },
      async (scope) => {
        await listed(scope, `127.0.0.1:${port}`)
        sockets[0]?.write('x')
        await nothing(scope)
      },
    )
    socket?.destroy()
  })

  test('that is closed is not listed', async () => {
    const { port, sockets } = await silent()
    await inRequest(
      () =>
        void net
          .connect({ port, host: '127.0.0.1' })
          .on('error', () => {})
          .write('hello'),
      async (scope) => {
        await listed(scope, `127.0.0.1:${port}`)
        await until('the connection', () => sockets[0])
        sockets[0]?.destroy()
        await nothing(scope)
      },
    )
  })

  test('that is connecting is listed as such', async () => {
    // A server whose backlog is full: the kernel drops further connections.
    await inRequest(
      () => net.connect({ port: 5432, host: '192.0.2.1' }).on('error', () => {}),
      (scope) => {
        // Without a route to a test network it fails at once, and there is no wait.
        const found = names(scope)
        if (found.length > 0) assert.deepEqual(found, ['connecting to 192.0.2.1:5432'])
        scope.unnamed?.find((wait) => {
          ;(wait as unknown as { client: { socket: net.Socket } }).client.socket.destroy()
          return true
        })
      },
    )
  })

  test('of a Unix server is listed by its path', async () => {
    const path = join(directory, '.s.PGSQL.5432')
    const server = net.createServer((socket) => void open.push({ close: () => socket.destroy() }))
    open.push(server)
    await once(server.listen(path), 'listening')
    let socket: net.Socket | undefined
    await inRequest(
      () => {
        socket = net.connect(path)
        socket.end('hello')
      },
      (scope) => listed(scope, `${path} (postgresql)`),
    )
    socket?.destroy()
  })

  test('that two requests use in turn is listed for the one that is using it', async () => {
    const { port, sockets } = await silent()
    const shared = net.connect(port, '127.0.0.1').resume()
    await once(shared, 'connect')
    let first: RequestScope | undefined
    await inRequest(
      () => void shared.write('one'),
      async (scope) => {
        first = scope
        await listed(scope, `127.0.0.1:${port}`)
        sockets[0]?.write('1')
        await nothing(scope)
        await inRequest(
          () => void shared.write('two'),
          async (second) => {
            assert.deepEqual(names(second), [`127.0.0.1:${port}`])
            assert.deepEqual(names(scope), [])
          },
        )
      },
    )
    assert.equal(first?.unnamed?.size, 0)
    shared.destroy()
  })

  test('that two requests share is listed for both', async () => {
    const { port, sockets } = await silent()
    const shared = net.connect(port, '127.0.0.1').resume()
    await once(shared, 'connect')
    await inRequest(
      () => void shared.write('one'),
      async (first) => {
        await inRequest(
          () => void shared.write('two'),
          async (second) => {
            assert.deepEqual(names(first), [`127.0.0.1:${port}`])
            assert.deepEqual(names(second), [`127.0.0.1:${port}`])
            sockets[0]?.write('x')
            await nothing(first)
            await nothing(second)
          },
        )
      },
    )
    shared.destroy()
  })

  test('is released with its request', async () => {
    const { port } = await silent()
    let socket: net.Socket | undefined
    let scope: RequestScope | undefined
    await inRequest(
      (running) => {
        scope = running
        socket = net.connect(port, '127.0.0.1')
        socket.write('hello')
      },
      (running) => listed(running, `127.0.0.1:${port}`),
    )
    assert.equal(scope?.unnamed?.size, 0)
    socket?.destroy()
  })

  test('inside a named wait is listed as part of it', async () => {
    const { port } = await silent()
    let socket: net.Socket | undefined
    await inRequest(
      () => {
        const work = withTimeout('stock', '20s', ({ signal }) => {
          socket = net.connect(port, '127.0.0.1')
          socket.write('how many?')
          return once(socket, 'data', { signal })
        })
        return work.catch(() => {})
      },
      async (scope) => {
        await until('the connection', () => socket?.connecting === false)
        assert.deepEqual(shapes(openWaits(scope)), [{ name: 'stock', via: [`127.0.0.1:${port}`] }])
        socket?.destroy(new Error('enough'))
      },
    )
  })

  test('outside of the named waits that are open is listed on its own', async () => {
    const { port } = await silent()
    const done = Promise.withResolvers<void>()
    let socket: net.Socket | undefined
    await inRequest(
      async () => {
        const waits = [withTimeout('one', '20s', () => done.promise), withTimeout('two', '20s', () => done.promise)]
        socket = net.connect(port, '127.0.0.1')
        socket.write('hello')
        await Promise.all(waits)
      },
      async (scope) => {
        await until('the connection', () => socket?.connecting === false)
        assert.deepEqual(shapes(openWaits(scope)), [{ name: 'one' }, { name: 'two' }, { name: `127.0.0.1:${port}` }])
        done.resolve()
      },
    )
    socket?.destroy()
  })
})

function shapes(waits: readonly OpenWait[]): object[] {
  return waits.map(({ since: _, ...shape }) => shape)
}

describe('an outgoing call', () => {
  test('by node:http is listed with its path, without its query and without its socket', async () => {
    const { port, sockets } = await silent()
    await inRequest(
      () => void http.get(`http://127.0.0.1:${port}/users?key=secret`, { agent: false }, (answer) => answer.resume()),
      async (scope) => {
        await listed(scope, `GET 127.0.0.1:${port}/users (http)`)
        assert.equal(names(scope).length, 1)
        await until('the request', () => sockets[0])
        sockets[0]?.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha')
        await listed(scope, `GET 127.0.0.1:${port}/users (http, body)`)
        sockets[0]?.write('lf')
        await nothing(scope)
      },
    )
  })

  test('by fetch is listed in the same way', async () => {
    const { port, sockets } = await silent()
    await inRequest(
      () =>
        fetch(`http://127.0.0.1:${port}/users?key=secret`, { method: 'POST', body: 'x' }).then((answer) =>
          answer.text(),
        ),
      async (scope) => {
        await listed(scope, `POST 127.0.0.1:${port}/users (http)`)
        assert.equal(names(scope).length, 1)
        await until('the request', () => sockets[0])
        sockets[0]?.write('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nha')
        await listed(scope, `POST 127.0.0.1:${port}/users (http, body)`)
        sockets[0]?.write('lf')
        await nothing(scope)
      },
    )
  })

  test('whose body is not read is not listed, and is once it is read', async () => {
    const { port, sockets } = await silent()
    const answered = Promise.withResolvers<http.IncomingMessage>()
    await inRequest(
      () => void http.get({ port, host: '127.0.0.1', agent: false }, answered.resolve),
      async (scope) => {
        await until('the request', () => sockets[0])
        sockets[0]?.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha')
        const answer = await answered.promise
        await until('the body not to be waited for', () => names(scope).length === 0)
        answer.resume()
        assert.deepEqual(names(scope), [`GET 127.0.0.1:${port}/ (http, body)`])
        sockets[0]?.write('lf')
        await nothing(scope)
      },
    )
  })

  test('that failed is not listed', async () => {
    const { port } = await silent()
    const abort = new AbortController()
    await inRequest(
      () => {
        fetch(`http://127.0.0.1:${port}/`, { signal: abort.signal }).catch(() => {})
        http.get({ port, signal: abort.signal, agent: false }).on('error', () => {})
      },
      async (scope) => {
        await until('both to be listed', () => names(scope).length === 2)
        abort.abort()
        await nothing(scope)
      },
    )
  })

  test('outside of a request is unchanged', async () => {
    const port = await listen(http.createServer((request, response) => void response.end(request.rawHeaders.join())))
    assert.doesNotMatch(await (await fetch(`http://127.0.0.1:${port}`)).text(), /deadline/i)
  })
})

describe('the deadline of a call', () => {
  const headersOf = async (call: (url: string) => Promise<unknown>, deadline?: number): Promise<string[]> => {
    const seen: string[] = []
    const port = await listen(
      http.createServer((request, response) => {
        const { rawHeaders } = request
        for (let index = 0; index < rawHeaders.length; index += 2) {
          if (rawHeaders[index]?.toLowerCase() === 'request-timeout') seen.push(rawHeaders[index + 1] ?? '')
        }
        response.setHeader('connection', 'close').end()
      }),
    )
    await inRequest(
      () => call(`http://127.0.0.1:${port}/`),
      () => {},
      deadline === undefined ? {} : { deadline },
    )
    return seen
  }
  const get = async (url: string, options: http.RequestOptions = {}): Promise<void> => {
    const [answer] = (await once(http.get(url, { agent: false, ...options }), 'response')) as [http.IncomingMessage]
    await once(answer.resume(), 'close')
  }
  const calls: Record<string, (url: string) => Promise<unknown>> = {
    'node:http': (url) => get(url),
    fetch: (url) => fetch(url),
  }

  for (const [name, call] of Object.entries(calls)) {
    test(`is sent by ${name}: whole milliseconds, less than the request was given`, async () => {
      const [left, ...more] = await headersOf(call, 60_000)
      assert.match(left ?? '', /^\d+$/)
      assert.ok(Number(left) > 0 && Number(left) <= 60_000, left)
      assert.deepEqual(more, [])
    })

    test(`is not sent by ${name} if the request has none`, async () => {
      assert.deepEqual(await headersOf(call), [])
    })
  }

  test('is that of the wait around it', async () => {
    const [left] = await headersOf((url) => withTimeout('short', '5s', () => get(url)), 60_000)
    assert.ok(Number(left) <= 5_000, left)
  })

  test('is the app’s own if it sets one', async () => {
    const headers = { 'request-TIMEOUT': '7' }
    assert.deepEqual(await headersOf((url) => get(url, { headers }), 60_000), ['7'])
    assert.deepEqual(await headersOf((url) => fetch(url, { headers }), 60_000), ['7'])
  })

  test('is omitted if the headers have been written', async () => {
    const call = async (url: string): Promise<void> => {
      const { host } = new URL(url)
      await get(url, { headers: ['Host', host] as unknown as http.OutgoingHttpHeaders })
    }
    assert.deepEqual(await headersOf(call, 60_000), [])
  })
})

describe('a lookup', () => {
  test('is listed by its host, with callbacks and promises', async () => {
    const blackHole = dgram.createSocket('udp4')
    await new Promise<void>((resolve) => blackHole.bind(0, '127.0.0.1', resolve))
    const before = dns.getServers()
    dns.setServers([`127.0.0.1:${blackHole.address().port}`])
    const resolver = new dns.promises.Resolver()
    resolver.setServers([`127.0.0.1:${blackHole.address().port}`])
    const ended = Promise.withResolvers<void>()
    await inRequest(
      () => {
        dns.resolve4('one.example', () => ended.resolve())
        resolver.resolve4('two.example').catch(() => {})
      },
      async (scope) => {
        assert.deepEqual(names(scope), ['looking up one.example', 'looking up two.example'])
        resolver.cancel()
        await until('the second to end', () => names(scope).length === 1)
      },
    )
    dns.setServers(before)
    // It fails when refused.
    blackHole.close()
    await ended.promise
  })

  test('that has ended is not listed', async () => {
    await inRequest(
      () => dns.promises.lookup('localhost').then(() => promisify(dns.lookup)('localhost')),
      (scope) => nothing(scope),
    )
  })
})

describe('a child process', () => {
  test('is listed by its program and pid until it exits, without its arguments', async () => {
    let child: ReturnType<typeof spawn> | undefined
    let second: ReturnType<typeof spawn> | undefined
    await inRequest(
      () => {
        child = spawn('sleep', ['600'])
        second = execFile('/bin/sh', ['-c', 'KEY=secret exec sleep 600'], () => {})
      },
      async (scope) => {
        assert.deepEqual(names(scope), [
          `child process sleep (pid ${child?.pid})`,
          `child process sleep (pid ${second?.pid})`,
        ])
        child?.kill('SIGKILL')
        second?.kill('SIGKILL')
        await nothing(scope)
      },
    )
  })

  test('that could not be started, or is detached, is not listed', async () => {
    let child: ReturnType<typeof spawn> | undefined
    await inRequest(
      () => {
        spawn('/no/such/program').on('error', () => {})
        child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' })
      },
      (scope) => {
        assert.deepEqual(names(scope), [])
        child?.kill('SIGKILL')
      },
    )
  })
})

describe('an operation on a file', () => {
  const fifo = join(directory, 'fifo')
  execFileSync('mkfifo', [fifo])
  /** Lets a pending open for reading continue. */
  const release = (): void => fs.closeSync(fs.openSync(fifo, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK))

  const reads: Record<string, () => Promise<unknown>> = {
    'by a callback': () => new Promise((resolve) => fs.readFile(fifo, resolve)),
    'imported by name': () => new Promise((resolve) => readFile(fifo, resolve)),
    'by a promise': () => fs.promises.readFile(fifo),
    'of node:fs/promises': () => fsPromises.readFile(fifo, 'utf8'),
    promisified: () => promisify(fs.readFile)(fifo),
  }
  for (const [name, read] of Object.entries(reads)) {
    test(`${name} is listed until it is done`, async () => {
      await inRequest(read, async (scope) => {
        assert.deepEqual(names(scope), [`readFile ${fifo}`])
        await until('a reader', () => {
          try {
            release()
            return true
          } catch {
            return false
          }
        })
        await nothing(scope)
      })
    })
  }

  test('on a descriptor or a handle is listed by its path', async () => {
    // A FIFO that is open at both ends never ends.
    const handle = await fs.promises.open(fifo, 'r+')
    const fd = fs.openSync(fifo, 'r+')
    const place = process.platform === 'linux' ? fs.realpathSync(fifo) : 'descriptor'
    await inRequest(
      () => {
        const reading = handle.read(Buffer.alloc(1))
        fs.read(fd, Buffer.alloc(1), 0, 1, null, () => {})
        return reading
      },
      async (scope) => {
        const found = names(scope)
        assert.equal(found.length, 2)
        for (const name of found) assert.ok(name.startsWith(`read ${place}`), name)
        fs.writeSync(fd, 'ab')
        await nothing(scope)
      },
    )
    fs.closeSync(fd)
    await handle.close()
  })

  test('that consists of others is listed once', async () => {
    await inRequest(
      () => fs.writeFile(fifo, 'x', () => {}),
      async (scope) => {
        assert.deepEqual(names(scope), [`writeFile ${fifo}`])
        // With both ends open, neither open blocks.
        const both = fs.openSync(fifo, 'r+')
        await nothing(scope)
        fs.closeSync(both)
      },
    )
  })

  test('fails as without Punctual: unhandled rejections are reported, and invalid arguments throw', async () => {
    const path = join(directory, 'missing')
    await inRequest(
      async () => {
        await assert.rejects(fs.promises.readFile(path), { code: 'ENOENT' })
        assert.throws(() => fs.readFile({} as unknown as string, () => {}), { code: 'ERR_INVALID_ARG_TYPE' })
        // Replaces the listeners of the test runner.
        const listeners = process.listeners('unhandledRejection')
        process.removeAllListeners('unhandledRejection')
        const unhandled = once(process, 'unhandledRejection')
        void fs.promises.stat(path)
        const [error] = await unhandled
        for (const listener of listeners) process.on('unhandledRejection', listener)
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOENT')
      },
      (scope) => nothing(scope),
    )
  })

  test('keeps the names, lengths and promises of Node’s functions', async () => {
    assert.equal(fs.readFile.name, 'readFile')
    assert.equal(fs.rename.length, 3)
    assert.equal(net.Socket.prototype.write.name, 'write')
    assert.equal(typeof fs.realpath.native, 'function')
    const [fd] = [fs.openSync(import.meta.filename, 'r')]
    const result = await promisify(fs.read)(fd, Buffer.alloc(4), 0, 4, 0)
    fs.closeSync(fd)
    assert.equal(result.bytesRead, 4)
    assert.equal(await promisify(fs.exists)(directory), true)
    assert.deepEqual(Object.keys(await promisify(dns.lookup)('127.0.0.1')), ['address', 'family'])
  })
})

test('a request that starts ten thousand operations retains only those that are open', async () => {
  await inRequest(
    async (scope) => {
      const port = await listen(net.createServer((socket) => socket.end('x')))
      for (let count = 0; count < 200; count++) {
        const socket = net.connect(port, '127.0.0.1').resume()
        socket.write('x')
        socket.on('error', () => {})
        await once(socket, 'close')
      }
      assert.ok((scope.unnamed?.size ?? 0) < 100, `${scope.unnamed?.size}`)
    },
    () => {},
  )
})

test('a request without unnamed waits has no list', async () => {
  await inRequest(
    () => {},
    (scope) => assert.equal(scope.unnamed, null),
  )
})

test('operations of a request that has been answered are not recorded', async () => {
  const { port } = await silent()
  const later = Promise.withResolvers<RequestScope>()
  const server = await listen(
    http.createServer((_, response) => {
      const scope = runningRequest() as RequestScope
      response.end()
      setImmediate(() => {
        const socket = net.connect(port, '127.0.0.1')
        socket.write('x')
        open.push({ close: () => socket.destroy() })
        later.resolve(scope)
      })
    }),
  )
  await fetch(`http://127.0.0.1:${server}`, { headers: { connection: 'close' } })
  assert.equal((await later.promise).unnamed, null)
})
