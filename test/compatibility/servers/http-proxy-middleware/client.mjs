import assert from 'node:assert/strict'
import { once } from 'node:events'
import { WebSocket } from 'ws'

const [, , url] = process.argv
for (let i = 0; i < 10; i++) {
  const response = await fetch(`${url}/upstream/things/${i}`, { method: 'POST', body: 'x'.repeat(100_000) })
  assert.equal(response.headers.get('x-path'), `/things/${i}`)
  assert.equal((await response.text()).length, 100_000)
}
const socket = new WebSocket(`${url.replace('http', 'ws')}/upstream/socket`)
await once(socket, 'open')
socket.send('hello')
assert.equal(String((await once(socket, 'message'))[0]), 'echo hello')
socket.close()
await once(socket, 'close')
