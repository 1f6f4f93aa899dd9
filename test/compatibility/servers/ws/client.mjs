import assert from 'node:assert/strict'
import { once } from 'node:events'
import { WebSocket } from 'ws'

const [, , url] = process.argv
await Promise.all(
  Array.from({ length: 8 }, async (_, index) => {
    const socket = new WebSocket(url.replace('http', 'ws'))
    await once(socket, 'open')
    for (const message of [`hello ${index}`, 'x'.repeat(100_000)]) {
      socket.send(message)
      const [data] = await once(socket, 'message')
      assert.equal(String(data), message)
    }
    socket.close()
    const [code] = await once(socket, 'close')
    assert.equal(code, 1005)
  }),
)
