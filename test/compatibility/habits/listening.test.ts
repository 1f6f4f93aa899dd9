import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, statSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { request } from '../../process/support/client.ts'
import { freePort } from '../../process/support/free-port.ts'
import { type ServerOptions, startServer, type TestServer } from '../../process/support/server.ts'
import { until } from '../../process/support/until.ts'

const APPS = join(import.meta.dirname, 'apps')

function app(name: string, options: Omit<ServerOptions, 'entry'> = {}): Promise<TestServer> {
  return startServer({ ...options, entry: join(APPS, name) })
}

interface Found {
  readonly pid: number
  readonly probes: readonly unknown[]
  readonly errors: readonly unknown[]
  readonly private: number
  readonly udp: readonly number[]
  readonly isOwn: boolean
}

describe('two workers of an app that looks for ports', () => {
  let server: TestServer
  let taken: net.Server
  let takenPort = 0
  let second = 0
  const found = new Map<number, Found>()

  async function ask(): Promise<void> {
    const { body } = await request(server.url)
    const answer = JSON.parse(body) as Found
    found.set(answer.pid, answer)
  }

  before(async () => {
    taken = net.createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    takenPort = (taken.address() as net.AddressInfo).port
    second = await freePort()
    server = await app('sockets.mjs', {
      settings: { workers: 2 },
      env: { SECOND_PORT: String(second), TAKEN_PORT: String(takenPort) },
    })
    await until('an answer of both workers', async () => {
      await ask()
      return found.size === 2
    })
    assert.equal((await server.command('reload')).code, 0)
    await until('an answer of both new workers', async () => {
      await ask()
      return found.size === 4
    })
  })

  after(async () => {
    await server[Symbol.asyncDispose]()
    taken.close()
  })

  it('a probe finds the configured port free, also while others serve on it', () => {
    for (const { probes } of found.values()) assert.deepEqual(probes, Array(4).fill(server.port))
  })

  it('a free port of the loopback address reaches the worker that listens on it', () => {
    assert.equal(new Set([...found.values()].map((one) => one.private)).size, 4)
    for (const { isOwn } of found.values()) assert.equal(isOwn, true)
  })

  it('every UDP socket gets a port of its own', () => {
    assert.equal(new Set([...found.values()].flatMap(({ udp }) => udp)).size, 12)
  })

  it('`exclusive` and `reusePort` get the shared socket, which is logged once', async () => {
    const pids = new Set<string>()
    await until('both workers on the second port', async () => {
      pids.add((await request(`http://127.0.0.1:${second}`)).body)
      return pids.size >= 2
    })
    const logged = server.lines.filter(({ event }) => event === 'shared-socket')
    assert.deepEqual(
      logged.map(({ level }) => level),
      ['info', 'info'],
    )
  })

  it('a port that is in use by the app itself or by another process is refused, as by listen', () => {
    for (const { errors } of found.values()) {
      assert.deepEqual(errors.map(String).toSorted(), [
        'EACCES,listen,-1',
        ...[server.port, server.port, takenPort].map((port) => `EADDRINUSE,listen,${port}`).toSorted(),
      ])
    }
  })

  it('another server cannot take the port', async () => {
    const other = net.createServer()
    other.listen(server.port, '127.0.0.1')
    const [error] = (await once(other, 'error')) as [NodeJS.ErrnoException]
    assert.equal(error.code, 'EADDRINUSE')
  })
})

describe('an app that uses its server right after listen', () => {
  it('finds its address, may close it, and may not listen twice', async () => {
    await using server = await app('at-once.mjs', { settings: { workers: 2 } })
    assert.equal((await server.command('reload')).code, 0)
    const { body } = await request(server.url)
    assert.deepEqual(JSON.parse(body), {
      closed: { port: server.port, listening: [true, false], error: null, events: 0 },
      port: server.port,
      second: 'ERR_SERVER_ALREADY_LISTEN',
    })
  })
})

describe('an app that retries when its port is in use', () => {
  it('becomes ready when the port is free', async () => {
    const holder = net.createServer().listen(0, '127.0.0.1')
    await once(holder, 'listening')
    const { port } = holder.address() as net.AddressInfo
    await using server = await app('retry.mjs', {
      settings: { workers: 2 },
      env: { OWN_PORT: String(port) },
      ready: false,
    })
    await server.log(/app: EADDRINUSE/)
    holder.close()
    await server.until('both workers', ({ workers }) => workers.filter(({ state }) => state === 'ready').length === 2)
    assert.equal((await request(`http://127.0.0.1:${port}`)).body, 'ok')
  })
})

describe('a Unix socket', () => {
  const socketPath = ({ directory }: TestServer): string => join(directory.path, 'app.sock')

  it('is reachable although each worker removes its file, through a reload and a crash', async () => {
    await using server = await app('unlink.mjs', {
      settings: { workers: 2 },
      env: { SOCKET_PATH: 'app.sock', UNLINK: 'yes' },
    })
    const path = socketPath(server)
    const inode = statSync(path).ino
    assert.equal(statSync(path).mode & 0o666, 0o666)
    assert.match(await over(path), /^\d+$/)
    assert.equal((await server.command('reload')).code, 0)
    await server.until('the old workers to be gone', ({ workers }) => workers.length === 2)
    await until('the file to be back', () => existsSync(path))
    assert.match(await over(path), /^\d+$/)
    await over(path, '/exit')
    assert.match(await over(path), /^\d+$/)
    assert.equal(statSync(path).ino, inode)
    await server.stop()
    assert.deepEqual(
      readdirSync(server.directory.path).filter((name) => name.includes('.sock')),
      [],
    )
  })

  it('that an arbiter left when it was killed is replaced, unless a process answers on it', async () => {
    const options: Omit<ServerOptions, 'entry'> = { settings: { workers: 2 }, env: { SOCKET_PATH: 'app.sock' } }
    await using server = await app('unlink.mjs', {
      ...options,
      prepare: (directory) => {
        const path = join(directory, 'app.sock')
        const code = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
        spawnSync(process.execPath, ['-e', code])
        assert.equal(statSync(path).isSocket(), true)
      },
    })
    const path = socketPath(server)
    assert.match(await over(path), /^\d+$/)
    await using second = await app('unlink.mjs', { ...options, env: { SOCKET_PATH: path }, ready: false })
    assert.equal((await second.exit).code, 3)
    assert.match(await over(path), /^\d+$/)
  })
})

describe('a listening socket that is inherited', () => {
  it('survives the death of the only worker, and a reload', async () => {
    const holder = net.createServer().listen(0, '127.0.0.1')
    await once(holder, 'listening')
    const { fd } = (holder as unknown as { _handle: { fd: number } })._handle
    const { port } = holder.address() as net.AddressInfo
    const url = `http://127.0.0.1:${port}`
    await using server = await app('inherited.mjs', { settings: { workers: 1 }, descriptors: [fd] })
    holder.close()
    const pids = [(await request(url)).body]
    for (const _ of [1, 2]) {
      await request(`${url}/exit`)
      pids.push((await request(url)).body)
    }
    assert.equal((await server.command('reload')).code, 0)
    pids.push((await request(url)).body)
    assert.equal(new Set(pids).size, 4)
    assert.ok(pids.every((pid) => Number(pid) > 0))
  })
})

function over(socketPath: string, path = '/'): Promise<string> {
  return new Promise((resolve) => {
    const asked = http.get({ socketPath, path, agent: false }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text
      })
      response.on('end', () => resolve(body))
    })
    asked.on('error', ({ code, message }: NodeJS.ErrnoException) => resolve(code ?? message))
  })
}
