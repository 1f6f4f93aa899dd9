import { createServer } from 'node:http'
import { createAdapter } from '@socket.io/redis-adapter'
import { Redis } from 'ioredis'
import { Server } from 'socket.io'

const publisher = new Redis(process.env.REDIS_URL)
const subscriber = publisher.duplicate()
const http = createServer((request, response) => {
  if (request.url === '/spin') for (const end = Date.now() + 20_000; Date.now() < end; );
  response.end('hello')
})
const io = new Server(http, { adapter: createAdapter(publisher, subscriber), transports: ['websocket'] })
io.on('connection', (socket) => {
  socket.on('join', (room, joined) => {
    socket.join(room)
    joined()
  })
  socket.on('say', (room, text) => io.to(room).emit('said', text))
})
http.listen(process.env.PORT)
process.on('SIGTERM', async () => {
  await io.close()
  publisher.disconnect()
  subscriber.disconnect()
  console.log('clean-up done')
})
