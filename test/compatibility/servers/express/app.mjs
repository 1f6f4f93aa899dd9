import compression from 'compression'
import express from 'express'
import morgan from 'morgan'

const app = express()
app.use(morgan('tiny', { skip: (_, response) => response.statusCode < 500 }))
app.use(compression())
app.use(express.json())
app.get('/', (_, response) => response.send('hello'))
app.put('/notes/:id', (request, response) => response.json({ id: request.params.id, ...request.body }))
app.get('/large', (_, response) => response.type('text').send('large '.repeat(50_000)))
app.get('/fails', async () => {
  throw new Error('on purpose')
})
app.get('/spin', (_, response) => {
  for (const end = Date.now() + 20_000; Date.now() < end; );
  response.send('spun')
})
app.use((error, _request, response, _next) => response.status(500).json({ error: error.message }))

const server = app.listen(process.env.PORT, () => console.log('listening'))
process.on('SIGTERM', () => {
  server.close((error) => {
    console.log(error === undefined ? 'clean-up done' : `close failed: ${error.message}`)
    process.exit(error === undefined ? 0 : 1)
  })
})
