import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import { pretendToListen, stopListening } from './stop-listening.ts'

async function listening<S extends net.Server>(server: S): Promise<S> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

function connects(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('connect', () => resolve(true))
    socket.on('error', () => resolve(false))
    socket.on('close', () => socket.destroy())
    socket.on('connect', () => socket.destroy())
  })
}

describe('a server that has been stopped unnoticed', () => {
  it('accepts nothing more, and still listens as far as the app can see', async () => {
    const server = await listening(http.createServer())
    const address = server.address() as AddressInfo
    stopListening(server)
    assert.equal(server.listening, true)
    assert.deepEqual(server.address(), address)
    assert.equal(await connects(address.port), false)
    server.unref()
    server.ref()
    await promisify(server.close).call(server)
    assert.equal(server.listening, false)
  })

  it('emits close once, after it was closed', async () => {
    const server = await listening(net.createServer())
    let closes = 0
    server.on('close', () => closes++)
    stopListening(server)
    // A turn of the event loop, in which it would be emitted.
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(closes, 0)
    await new Promise((resolve) => server.close(resolve))
    assert.equal(closes, 1)
    await assert.rejects(promisify(server.close).call(server), { code: 'ERR_SERVER_NOT_RUNNING' })
  })

  it('can be disposed', async () => {
    const server = await listening(http.createServer())
    stopListening(server)
    await server[Symbol.asyncDispose]()
    assert.equal(server.listening, false)
  })

  it('keeps the path of a Unix socket as its address', async () => {
    const path = join(tmpdir(), `punctual-stop-${process.pid}.sock`)
    const server = net.createServer().listen(path)
    await once(server, 'listening')
    stopListening(server)
    assert.equal(server.address(), path)
    await promisify(server.close).call(server)
  })

  it('may be one that waits for its handle', async () => {
    const server = net.createServer()
    pretendToListen(server)
    await promisify(server.close).call(server)
  })
})
