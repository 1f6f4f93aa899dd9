import multipart from '@fastify/multipart'
import Fastify from 'fastify'

const app = Fastify({ logger: { level: 'warn' } })
await app.register(multipart)
app.get('/', async () => 'hello')
app.post(
  '/sums',
  {
    schema: {
      body: { type: 'object', required: ['numbers'], properties: { numbers: { type: 'array', items: { type: 'number' } } } },
      response: { 200: { type: 'object', properties: { sum: { type: 'number' } } } },
    },
  },
  async ({ body }) => ({ sum: body.numbers.reduce((sum, number) => sum + number, 0), hidden: true }),
)
app.post('/upload', async (request) => {
  const file = await request.file()
  return { name: file.filename, bytes: (await file.toBuffer()).length }
})
app.get('/spin', async () => {
  for (const end = Date.now() + 20_000; Date.now() < end; );
  return 'spun'
})
app.addHook('onClose', async () => console.log('clean-up done'))
await app.listen({ port: Number(process.env.PORT), host: process.env.HOST })
process.once('SIGTERM', () => app.close())
