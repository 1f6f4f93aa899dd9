// A server that accepts connections and passes them on to another, as readers of the PROXY protocol
// and TLS fronts do. `/pass-on/<how>` chooses how connections that begin with TLS are passed on.
import fs from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { Duplex } from 'node:stream'
import tls from 'node:tls'

const pair = { key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem') }
const handle = (request, response) => {
  const [, first, second] = request.url.split('/')
  if (first === 'exit') process.exit(7)
  if (first === 'pass-on') how = second
  if (first === 'slow' || first === 'hang') console.log(`begun ${request.url}`)
  if (first === 'slow') setTimeout(() => response.end('slow'), 400)
  else if (first !== 'hang') response.end('ok')
}
const web = http.createServer(handle)
const secureWeb = https.createServer(pair, handle)
const secureFront = tls.createServer(pair, (socket) => web.emit('connection', socket))

const waysOf = {
  https: (socket) => secureWeb.emit('connection', socket),
  'tls-server': (socket) => secureFront.emit('connection', socket),
  'tls-socket': (socket) => {
    const encrypted = new tls.TLSSocket(socket, { isServer: true, ...pair })
    encrypted.on('error', () => {})
    web.emit('connection', encrypted)
  },
}
let how = 'https'

net
  .createServer((socket) => {
    socket.on('error', () => {})
    socket.once('readable', () => {
      const first = socket.read()
      if (first === null) return
      socket.unshift(first)
      if (first[0] === 22) waysOf[how](socket)
      else if (how === 'stream') web.emit('connection', Duplex.from({ readable: socket, writable: socket }))
      else web.emit('connection', socket)
    })
  })
  .listen(process.env.PORT, process.env.HOST)
