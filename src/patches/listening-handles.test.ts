import assert from 'node:assert/strict'
import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, it } from 'node:test'
import { ms } from '../resilience/duration.ts'
import { type KeptHandles, keepListeningHandles } from './listening-handles.ts'

const LIMIT = 20_000

/** Listens on the given addresses, and sends the actual addresses, or the code of the error. */
const WORKER = `
import net from 'node:net'
const servers = JSON.parse(process.argv[2]).map((address) => net.createServer((socket) => socket.end('hello')).listen(address))
const results = servers.map((server) => new Promise((resolve) => {
  server.once('listening', () => resolve(server.address()))
  server.once('error', (error) => resolve(error.code))
}))
process.send(await Promise.all(results))
`

let directory = ''
let sockets: KeptHandles

before(() => {
  directory = mkdtempSync(join(tmpdir(), 'punctual-handles-'))
  writeFileSync(join(directory, 'worker.mjs'), WORKER)
  cluster.schedulingPolicy = cluster.SCHED_NONE
  sockets = keepListeningHandles()
})

afterEach(async () => {
  await Promise.all(Object.values(cluster.workers ?? {}).map((worker) => worker && kill(worker)))
  sockets.closeUnused(ms(-1))
})

after(() => rmSync(directory, { recursive: true }))

type Addresses = (AddressInfo | string)[]

async function start(...listeners: (net.ListenOptions | string)[]): Promise<{ worker: Worker; addresses: Addresses }> {
  cluster.setupPrimary({ exec: join(directory, 'worker.mjs'), args: [JSON.stringify(listeners)], execArgv: [] })
  const worker = cluster.fork()
  const [addresses] = (await once(worker, 'message', { signal: AbortSignal.timeout(LIMIT) })) as [Addresses]
  return { worker, addresses }
}

async function kill(worker: Worker): Promise<void> {
  const gone = once(worker, 'exit', { signal: AbortSignal.timeout(LIMIT) })
  worker.process.kill('SIGKILL')
  await gone
}

function portsOf(addresses: Addresses): number[] {
  return addresses.map((address) => (typeof address === 'string' ? 0 : address.port))
}

/** What a client receives: the response of the server, or the code of the error. */
function hear(target: number | string): Promise<string> {
  return new Promise((resolve) => {
    const socket = typeof target === 'string' ? net.connect(target) : net.connect(target, '127.0.0.1')
    socket.setEncoding('utf8').once('data', (text) => {
      socket.destroy()
      resolve(String(text))
    })
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    socket.setTimeout(LIMIT, () => {
      socket.destroy()
      resolve('silence')
    })
  })
}

const ANYWHERE = { host: '127.0.0.1', port: 0 }

describe('listening sockets that the arbiter keeps', () => {
  it('a client that connects while there is no worker waits, and is served by the next', async () => {
    const first = await start(ANYWHERE)
    const [port = 0] = portsOf(first.addresses)
    assert.equal(await hear(port), 'hello')
    await kill(first.worker)
    const waiting = [hear(port), hear(port), hear(port)]
    const second = await start(ANYWHERE)
    assert.deepEqual(portsOf(second.addresses), [port])
    assert.deepEqual(await Promise.all(waiting), ['hello', 'hello', 'hello'])
  })

  it('two servers that ask for a free port get one each, and the same after a restart', async () => {
    const first = await start(ANYWHERE, ANYWHERE)
    const ports = portsOf(first.addresses)
    assert.equal(new Set(ports).size, 2)
    await kill(first.worker)
    const second = await start(ANYWHERE, ANYWHERE)
    assert.deepEqual(portsOf(second.addresses).toSorted(), ports.toSorted())
    for (const port of ports) assert.equal(await hear(port), 'hello')
  })

  it('one that no worker uses is closed after a while, not before; one in use stays open', async () => {
    const { worker, addresses } = await start(ANYWHERE)
    const [port = 0] = portsOf(addresses)
    await kill(worker)
    const other = await start({ host: '127.0.0.2', port: 0 })
    const waiting = hear(port)
    sockets.closeUnused(ms(60_000))
    const again = await start(ANYWHERE)
    assert.equal(await waiting, 'hello')
    await kill(again.worker)
    sockets.closeUnused(ms(-1))
    assert.equal(await hear(port), 'ECONNREFUSED')
    assert.equal(other.worker.isDead(), false)
    const [address] = other.addresses as AddressInfo[]
    assert.equal(address?.address, '127.0.0.2')
  })

  it('an error of listening is reported to the worker', async () => {
    const holder = net.createServer().listen(0, '127.0.0.1')
    await once(holder, 'listening')
    const { port } = holder.address() as AddressInfo
    const { addresses } = await start({ host: '127.0.0.1', port })
    assert.deepEqual(addresses, ['EADDRINUSE'])
    holder.close()
  })

  it('a Unix socket keeps its file while its next worker boots, and until it is unused', async () => {
    const path = join(directory, 'app.sock')
    const { worker } = await start(path)
    assert.equal(await hear(path), 'hello')
    await kill(worker)
    const waiting = hear(path)
    const again = await start(path)
    assert.equal(await waiting, 'hello')
    await kill(again.worker)
    sockets.closeUnused(ms(-1))
    assert.deepEqual(readdirSync(directory), ['worker.mjs'])
  })

  it('the file of a Unix socket that was removed while a worker listens comes back', async () => {
    const path = join(directory, 'app.sock')
    await start(path)
    rmSync(path)
    sockets.restoreFiles()
    assert.equal(await hear(path), 'hello')
  })

  it('the address of another worker can be used if it overlaps; a foreign one cannot', async () => {
    const { addresses } = await start({ host: '0.0.0.0', port: 0 })
    const [port = 0] = portsOf(addresses)
    const probing = await start({ host: '127.0.0.1', port })
    assert.deepEqual(portsOf(probing.addresses), [port])
    await kill(probing.worker)
    // The unused socket would be the better match for connections to 127.0.0.1.
    assert.equal(await hear(port), 'hello')
  })

  it('an address that overlaps can be used while a worker has not yet closed its own', async () => {
    const { worker, addresses } = await start(ANYWHERE)
    const [port = 0] = portsOf(addresses)
    sockets.release('127.0.0.1', port)
    worker.process.kill('SIGSTOP')
    const gone = once(worker, 'disconnect', { signal: AbortSignal.timeout(LIMIT) })
    worker.process.disconnect()
    await gone
    const probing = await start({ host: '0.0.0.0', port })
    assert.deepEqual(portsOf(probing.addresses), [port])
    await kill(worker)
  })

  it('one address serves one server of a worker', async () => {
    const { addresses } = await start(ANYWHERE)
    const [port = 0] = portsOf(addresses)
    const twice = await start({ host: '127.0.0.1', port }, { host: '127.0.0.1', port })
    assert.deepEqual(
      twice.addresses.map((address) => (typeof address === 'string' ? address : address.port)),
      [port, 'EADDRINUSE'],
    )
  })

  it('a released socket is closed with its last worker', async () => {
    const free = net.createServer().listen(0, '127.0.0.1')
    await once(free, 'listening')
    const { port } = free.address() as AddressInfo
    await new Promise((resolve) => free.close(resolve))
    const own = await start({ host: '127.0.0.1', port })
    sockets.release('127.0.0.1', port)
    await kill(own.worker)
    assert.equal(await hear(port), 'ECONNREFUSED')
  })
})
