import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { ExpressAdapter } from '@bull-board/express'
import { Queue, QueueEvents, Worker } from 'bullmq'
import express from 'express'

const connection = { url: process.env.REDIS_URL }
const queue = new Queue('sums', { connection })
const events = new QueueEvents('sums', { connection })
const worker = new Worker('sums', async ({ data }) => data.a + data.b, { connection, concurrency: 4 })
const board = new ExpressAdapter()
board.setBasePath('/queues')
createBullBoard({ queues: [new BullMQAdapter(queue)], serverAdapter: board })
const app = express()
app.get('/', (_, response) => response.send('hello'))
app.use('/queues', board.getRouter())
app.post('/sums/:a/:b', async ({ params }, response) => {
  const job = await queue.add('sum', { a: Number(params.a), b: Number(params.b) })
  response.json({ sum: await job.waitUntilFinished(events, 10_000) })
})
app.get('/spin', (_, response) => {
  for (const end = Date.now() + 20_000; Date.now() < end; );
  response.send('spun')
})
const server = app.listen(process.env.PORT)
process.on('SIGTERM', () => {
  server.close(async () => {
    await Promise.all([worker.close(), events.close(), queue.close()])
    console.log('clean-up done')
  })
})
