// The same app with Fastify, as in its getting started guide.
import { threadId } from 'node:worker_threads'
import Fastify from 'fastify'

const app = Fastify()
app.get('/', async () => ({ hello: 'world' }))
app.get('/who', async () => `${process.pid}:${threadId}`)
await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' })
