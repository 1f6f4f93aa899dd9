import { createServer } from 'node:http'
import express from 'express'
import { ParseServer } from 'parse-server'

const api = new ParseServer({
  databaseURI: process.env.DATABASE_URL,
  appId: 'compat',
  masterKey: 'for this test only',
  masterKeyIps: ['0.0.0.0/0', '::/0'],
  serverURL: `http://127.0.0.1:${process.env.PORT}/parse`,
  logsFolder: null,
  silent: true,
  cloud: (Parse) => Parse.Cloud.define('double', ({ params }) => params.number * 2),
})
await api.start()
const app = express()
app.get('/', (_, response) => response.send('hello'))
app.get('/spin', (_, response) => {
  for (const end = Date.now() + 20_000; Date.now() < end; );
  response.send('spun')
})
app.use('/parse', api.app)
const http = createServer(app).listen(process.env.PORT)
// As `ParseServer.startApp` does: the shutdown closes it.
api.server = http
process.on('SIGTERM', async () => {
  await api.handleShutdown()
  console.log('clean-up done')
  process.exit()
})
