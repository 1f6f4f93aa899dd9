// Listens before it is initialised, as Next.js does; answers 500 until then, or for good. `PROTOCOL`
// may be `h2` (with TLS) or `h2c`; both speak no HTTP/1.1.
import fs from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'

let status = 500
const handle = (request, response) => {
  if (request.httpVersionMajor === 2) console.log(`asked with status ${status}`)
  response.statusCode = status
  response.end(`${process.pid} ${request.headers.host}`)
}
const servers = {
  h2: () => http2.createSecureServer({ key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem') }, handle),
  h2c: () => http2.createServer(handle),
}
const createServer = servers[process.env.PROTOCOL] ?? (() => http.createServer(handle))
createServer().listen(process.env.PORT, process.env.HOST)
setTimeout(() => {
  if (!fs.existsSync('broken')) status = 200
}, 400)
