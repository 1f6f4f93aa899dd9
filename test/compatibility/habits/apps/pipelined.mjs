// `/slow…` is answered half a second after its worker has begun to drain, the others at once.
import http from 'node:http'

let draining = false
http
  .createServer((request, response) => {
    console.log(`carried out ${request.url}`)
    if (!request.url.startsWith('/slow')) return response.end(request.url)
    const timer = setInterval(() => {
      // The last response of the connection is to close it.
      draining ||= !response.shouldKeepAlive
      if (!draining) return
      clearInterval(timer)
      console.log('draining')
      setTimeout(() => response.end(request.url), 500)
    }, 10)
  })
  .listen(process.env.PORT, process.env.HOST)
