// The recipe of Node's documentation for a port that is in use.
import http from 'node:http'

const server = http.createServer((_, response) => response.end('ok'))
server.on('error', ({ code }) => {
  console.log(`app: ${code}`)
  setTimeout(() => {
    server.close()
    server.listen(process.env.OWN_PORT, process.env.HOST)
  }, 100)
})
server.listen(process.env.OWN_PORT, process.env.HOST)
