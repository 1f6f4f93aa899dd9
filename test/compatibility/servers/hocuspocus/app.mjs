import { Redis } from '@hocuspocus/extension-redis'
import { Server } from '@hocuspocus/server'

const server = new Server({
  port: Number(process.env.PORT),
  address: process.env.HOST,
  quiet: true,
  stopOnSignals: false,
  // Documents are open in several workers.
  extensions: [new Redis({ host: '127.0.0.1', port: Number(new URL(process.env.REDIS_URL).port) })],
  async onRequest({ request, response }) {
    if (request.url !== '/spin') return
    for (const end = Date.now() + 20_000; Date.now() < end; );
    response.end('spun')
  },
})
await server.listen()
process.on('SIGTERM', async () => {
  await server.destroy()
  console.log('clean-up done')
  process.exit()
})
