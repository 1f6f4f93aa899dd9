// `/until/<name>` is answered when there is a file of that name, the others when their body is read.
import { existsSync } from 'node:fs'
import http from 'node:http'

http
  .createServer((request, response) => {
    console.log(`carried out ${request.url}`)
    const [, kind, name] = request.url.split('/')
    if (kind !== 'until')
      return request
        .resume()
        .on('end', () => response.end(request.url))
        .on('error', () => {})
    const timer = setInterval(() => {
      if (!existsSync(name)) return
      clearInterval(timer)
      response.end(request.url)
    }, 10)
  })
  .listen(process.env.PORT, process.env.HOST)
