import { H3, readBody, serve } from 'h3'

const app = new H3()
app.get('/', () => 'hello')
app.post('/echo', async (event) => ({ got: await readBody(event) }))
app.get('/spin', () => {
  for (const end = Date.now() + 20_000; Date.now() < end; );
  return 'spun'
})
const server = serve(app, { port: Number(process.env.PORT), hostname: process.env.HOST, silent: true, gracefulShutdown: false })
process.on('SIGTERM', async () => {
  await server.close()
  console.log('clean-up done')
})
