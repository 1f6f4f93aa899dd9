import { createServer } from 'node:http'
import express from 'express'
import { createProxyMiddleware } from 'http-proxy-middleware'
import { WebSocketServer } from 'ws'

// Each worker has an upstream of its own, on a port of its own.
const upstream = createServer((request, response) => {
  response.setHeader('x-path', request.url)
  request.pipe(response)
})
const sockets = new WebSocketServer({ server: upstream })
sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`echo ${data}`)))
await new Promise((resolve) => upstream.listen(0, '127.0.0.1', resolve))

const proxy = createProxyMiddleware({ target: `http://127.0.0.1:${upstream.address().port}`, ws: true, changeOrigin: true })
const app = express()
app.get('/', (_, response) => response.send('hello'))
app.get('/spin', (_, response) => {
  for (const end = Date.now() + 20_000; Date.now() < end; );
  response.send('spun')
})
app.use('/upstream', proxy)
const server = app.listen(process.env.PORT)
server.on('upgrade', proxy.upgrade)
process.on('SIGTERM', () => {
  server.close(() => {
    upstream.closeAllConnections()
    upstream.close(() => {
      console.log('clean-up done')
      process.exit()
    })
  })
})
