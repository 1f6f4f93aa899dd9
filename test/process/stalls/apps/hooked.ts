import { createHook } from 'node:async_hooks'
import http from 'node:http'
import { slow } from './slow.ts'

/** An app that traces its asynchronous work with an enabled hook. */
export let resources = 0
createHook({
  init() {
    resources++
  },
}).enable()

function spin(): void {
  for (;;) resources++ // here: spin
}

const server = http.createServer(async (request, response) => {
  if (request.url === '/spin') spin()
  response.end(request.url === '/slow' ? await slow() : 'ok')
})
server.listen(Number(process.env.PORT), process.env.HOST)
