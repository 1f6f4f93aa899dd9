import { RedisStore } from 'connect-redis'
import express from 'express'
import session from 'express-session'
import { createClient } from 'redis'

const redis = createClient({ url: process.env.REDIS_URL })
await redis.connect()
const app = express()
app.get('/', (_, response) => response.send('hello'))
app.use(
  session({
    store: new RedisStore({ client: redis, prefix: 'sessions:' }),
    secret: 'for this test only',
    resave: false,
    saveUninitialized: false,
  }),
)
app.post('/visits', (request, response) => {
  request.session.visits = (request.session.visits ?? 0) + 1
  response.json({ visits: request.session.visits })
})
app.get('/spin', (_, response) => {
  for (const end = Date.now() + 20_000; Date.now() < end; );
  response.send('spun')
})
const server = app.listen(process.env.PORT)
process.on('SIGTERM', () => {
  server.close(async () => {
    await redis.close()
    console.log('clean-up done')
  })
})
