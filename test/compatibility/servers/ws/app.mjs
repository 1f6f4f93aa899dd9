import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'

const http = createServer((request, response) => {
  if (request.url === '/spin') for (const end = Date.now() + 20_000; Date.now() < end; );
  response.end('hello')
})
const sockets = new WebSocketServer({ server: http })
sockets.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
})
http.listen(process.env.PORT)
process.on('SIGTERM', () => {
  for (const socket of sockets.clients) socket.close(1001, 'restarting')
  http.close(() => console.log('clean-up done'))
})
