// Plain node:http: an answer that never waits longer than 300 ms for another service.
//
//   PRICES_URL=http://127.0.0.1:4000 npx punctual run examples/http.ts

import http from 'node:http'
import { currentRequest, withFallback, withTimeout } from 'punctual'

const prices = process.env.PRICES_URL ?? 'http://127.0.0.1:4000'

/** Returns the price of an article, or null if the price service fails or takes too long. */
function findPrice(article: string): Promise<number | null> {
  const load = (): Promise<number> =>
    withTimeout('price', '300ms', async ({ signal }) => {
      const response = await fetch(`${prices}/${article}`, { signal })
      if (!response.ok) throw new Error(`the price service responded with status ${response.status}`)
      const { price } = (await response.json()) as { readonly price: number }
      return price
    })
  return withFallback('price', load, null)
}

const server = http.createServer(async (request, response) => {
  const article = (request.url ?? '/').slice(1)
  if (article === 'health') {
    response.end('ok')
    return
  }
  const price = await findPrice(article)
  // Undefined under plain `node`, where requests have no deadline.
  const msLeft = currentRequest()?.remaining
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ article, price, degraded: price === null, msLeft }))
})

server.listen(Number(process.env.PORT ?? 3000))
