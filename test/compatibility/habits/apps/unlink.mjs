// Removes a stale file, and listens on the Unix socket.
import fs from 'node:fs'
import http from 'node:http'

const path = process.env.SOCKET_PATH
if (process.env.UNLINK === 'yes' && fs.existsSync(path)) fs.unlinkSync(path)
const server = http.createServer((request, response) => {
  if (request.url === '/exit') process.exit(1)
  response.end(String(process.pid))
})
server.listen({ path, readableAll: true, writableAll: true })
process.on('SIGTERM', () => {
  if (process.env.UNLINK === 'yes') fs.rmSync(path, { force: true })
  process.exit(0)
})
