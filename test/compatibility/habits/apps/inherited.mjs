// Socket activation: listens on the descriptor that systemd passes.
import http from 'node:http'

if (process.env.LISTEN_PID && Number(process.env.LISTEN_PID) !== process.pid) throw new Error('not for this process')
http
  .createServer((request, response) => {
    if (request.url === '/exit') process.exit(1)
    response.end(String(process.pid))
  })
  .listen({ fd: 3 })
