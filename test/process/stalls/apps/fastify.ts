import Fastify from 'fastify'
import { slow } from './slow.ts'

const app = Fastify()
let turns = 0

app.get('/ok', () => 'ok')
app.get('/slow', () => slow())
app.post('/orders', async function createOrder(request) {
  const { count } = request.body as { count: number }
  await null
  while (count > 0) turns++ // here: orders
  return { turns }
})

await app.listen({ port: Number(process.env.PORT), host: process.env.HOST ?? '127.0.0.1' })
