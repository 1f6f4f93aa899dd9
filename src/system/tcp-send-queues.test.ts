import assert from 'node:assert/strict'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { unacknowledgedBytes } from './tcp-send-queues.ts'

const descriptorOf = (socket: net.Socket): number =>
  (socket as net.Socket & { readonly _handle: { readonly fd: number } })._handle.fd

test('the kernel tells how much of a TCP connection its peer has not acknowledged', async (context) => {
  if (process.platform !== 'linux') return context.skip('only Linux tells it')
  for (const host of ['127.0.0.1', '::1']) {
    // The peer never reads.
    const server = net.createServer({ pauseOnConnect: true }).listen(0, host)
    await once(server, 'listening')
    const client = net.connect((server.address() as AddressInfo).port, host)
    const [peer] = (await once(server, 'connection')) as [net.Socket]
    try {
      assert.deepEqual(await unacknowledgedBytes([descriptorOf(client)]), [0])
      client.write(Buffer.alloc(16 * 1024 * 1024))
      const [bytes, ofNone, ofOther] = await unacknowledgedBytes([descriptorOf(client), -1, descriptorOf(peer)])
      assert.ok(Number(bytes) > 0, `${host}: ${bytes}`)
      assert.deepEqual([ofNone, ofOther], [undefined, 0])
    } finally {
      client.destroy()
      peer.destroy()
      server.close()
    }
  }
})

test('of other descriptors it is not known', async () => {
  assert.deepEqual(await unacknowledgedBytes([]), [])
  assert.deepEqual(await unacknowledgedBytes([2, -1, 1_000_000]), [undefined, undefined, undefined])
})
