import assert from 'node:assert/strict'
import { io } from 'socket.io-client'

const [, , url] = process.argv
// Enough that two workers have some each.
const clients = Array.from({ length: 8 }, () => io(url, { transports: ['websocket'], forceNew: true }))
await Promise.all(
  clients.map(async (client) => {
    if (!client.connected) await new Promise((resolve) => client.on('connect', resolve))
    await client.emitWithAck('join', 'kitchen')
  }),
)
const heard = Promise.all(clients.map((client) => new Promise((resolve) => client.on('said', resolve))))
clients[0].emit('say', 'kitchen', 'tea')
assert.deepEqual(await heard, clients.map(() => 'tea'))
for (const client of clients) client.close()
