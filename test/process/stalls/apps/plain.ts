import http from 'node:http'
import { culprits } from './culprits.ts'
import { slow } from './slow.ts'

/** An app on the HTTP server of Node. */
const server = http.createServer(async (request, response) => {
  const path = request.url?.slice(1) ?? ''
  const culprit = culprits[path]
  if (culprit !== undefined) return void culprit(request, response)
  response.end(path === 'slow' ? await slow() : 'ok')
})
server.listen(Number(process.env.PORT), process.env.HOST)
