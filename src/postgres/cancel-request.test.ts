import assert from 'node:assert/strict'
import net, { type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { ms } from '../resilience/duration.ts'
import { CancelRequest, type CancelTarget, cancelPacket } from './cancel-request.ts'

/** Starts a server that serves each connection with `serve`. */
async function serverOf(
  t: { after(run: () => void): void },
  serve: (socket: net.Socket) => void,
): Promise<CancelTarget> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    serve(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { host: '127.0.0.1', port, serverName: '127.0.0.1', ssl: false, directTls: false, processId: 7, secretKey: 9 }
}

test('the packet contains length, code, process id, and a key of four bytes or more', () => {
  assert.equal(cancelPacket(7, -2).toString('hex'), '0000001004d2162e00000007fffffffe')
  const long = new Uint8Array(32).fill(0xab)
  assert.equal(cancelPacket(-1, long).toString('hex'), `0000002c04d2162effffffff${'ab'.repeat(32)}`)
})

test('a cancel request is delivered when the server closes the connection', async (t) => {
  const got: Buffer[] = []
  let close = (): void => {}
  const target = await serverOf(t, (socket) => {
    socket.on('data', (bytes) => got.push(bytes))
    close = () => socket.end()
  })
  const request = new CancelRequest(target, ms(20_000))
  let outcome: string | undefined
  request.done.then((found) => {
    outcome = found
  })
  const end = performance.now() + 20_000
  while (got.length === 0 && performance.now() < end) await new Promise((resolve) => setImmediate(resolve))
  request.withdraw()
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(outcome, undefined, 'a request that was sent cannot be withdrawn')
  close()
  assert.equal(await request.done, 'delivered')
  assert.deepEqual(Buffer.concat(got), cancelPacket(7, 9))
})

test('a cancel request whose connection stays open is doubtful', async (t) => {
  const target = await serverOf(t, (socket) => socket.resume())
  assert.equal(await new CancelRequest(target, ms(50)).done, 'doubtful')
})

test('a cancel request that was withdrawn, or found no server, is unsent', async (t) => {
  const got: Buffer[] = []
  const target = await serverOf(t, (socket) => socket.on('data', (bytes) => got.push(bytes)))
  const withdrawn = new CancelRequest(target, ms(20_000))
  withdrawn.withdraw()
  assert.equal(await withdrawn.done, 'unsent')
  assert.equal(await new CancelRequest({ ...target, host: '/nowhere' }, ms(20_000)).done, 'unsent')
  assert.deepEqual(got, [])
})

test('a cancel request for an encrypted session is not sent to a server that refuses TLS', async (t) => {
  const got: Buffer[] = []
  const target = await serverOf(t, (socket) => {
    socket.on('data', (bytes) => {
      got.push(bytes)
      socket.write('N')
    })
  })
  assert.equal(await new CancelRequest({ ...target, ssl: true }, ms(20_000)).done, 'unsent')
  assert.equal(Buffer.concat(got).toString('hex'), '0000000804d2162f')
})
