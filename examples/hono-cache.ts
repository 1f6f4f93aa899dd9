// Hono and a read-through cache: one load per key, and the last value while the source is down.
//
//   RATES_URL=http://127.0.0.1:4000 npx punctual run examples/hono-cache.ts

import { Hono } from 'hono'
import { readThrough } from 'punctual/cache'
import { punctual } from 'punctual/hono'

const source = process.env.RATES_URL ?? 'http://127.0.0.1:4000'

interface Rate {
  readonly currency: string
  readonly rate: number
}

const rates = readThrough('exchange-rates', {
  load: async (currency: string, { signal }): Promise<Rate | undefined> => {
    const response = await fetch(`${source}/${currency}`, { signal })
    if (response.status === 404) return undefined
    if (!response.ok) throw new Error(`the source responded with status ${response.status}`)
    return (await response.json()) as Rate
  },
  // Fresh for a minute; used for another hour if the source fails.
  ttl: '1m',
  grace: '1h',
  timeout: '2s',
})

const app: Hono = new Hono()
app.use(punctual())

app.get('/rates/:currency', async (context) => {
  const rate = await rates.get(context.req.param('currency'))
  return rate === undefined ? context.json({ error: 'unknown currency' }, 404) : context.json(rate)
})

app.delete('/rates/:currency', async (context) => {
  await rates.invalidate(context.req.param('currency'))
  return context.body(null, 204)
})

// Punctual listens for an app that is exported.
export default app
