import Hapi from '@hapi/hapi'

const server = Hapi.server({ port: process.env.PORT, host: process.env.HOST })
server.route([
  { method: 'GET', path: '/', handler: () => 'hello' },
  { method: 'POST', path: '/echo', handler: ({ payload }) => payload },
  {
    method: 'GET',
    path: '/spin',
    handler: () => {
      for (const end = Date.now() + 20_000; Date.now() < end; );
      return 'spun'
    },
  },
])
await server.start()
process.on('SIGTERM', async () => {
  await server.stop({ timeout: 10_000 })
  console.log('clean-up done')
})
