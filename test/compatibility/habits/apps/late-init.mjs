// Listens before it is initialised, as Next.js does; answers 500 until then, or for good.
import fs from 'node:fs'
import http from 'node:http'

let status = 500
http
  .createServer((request, response) => {
    response.statusCode = status
    response.end(`${process.pid} ${request.headers.host}`)
  })
  .listen(process.env.PORT, process.env.HOST)
setTimeout(() => {
  if (!fs.existsSync('broken')) status = 200
}, 400)
