import express from 'express'
import { slow } from './slow.ts'

const app = express()
export let turns = 0

app.use(express.json())
app.get('/ok', (_request, response) => response.send('ok'))
app.get('/slow', async (_request, response) => response.send(await slow()))
app.post('/orders', function createOrder(request) {
  while (request.body.count > 0) turns++ // here: orders
})

app.listen(Number(process.env.PORT), process.env.HOST)
