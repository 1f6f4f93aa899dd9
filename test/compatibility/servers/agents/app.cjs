const express = require('express')

const app = express()
app.get('/', (_, response) => response.send('hello'))
app.get('/calls', async (_, response) => {
  const answer = await fetch(`http://127.0.0.1:${process.env.PORT}/`)
  response.send(await answer.text())
})
app.get('/spin', (_, response) => {
  for (const end = Date.now() + 20_000; Date.now() < end; );
  response.send('spun')
})
const server = app.listen(process.env.PORT)
process.on('SIGTERM', () => {
  server.close(() => {
    console.log('clean-up done')
    process.exit()
  })
})
