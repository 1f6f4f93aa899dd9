// Express and PostgreSQL: queries with timeouts that are cancelled on the server.
//
//   psql -c 'create table notes (id serial primary key, text text not null)'
//   DATABASE_URL=postgres://… npx punctual run examples/express-postgres.js

import express from 'express'
import pg from 'pg'
import { problems, punctual } from 'punctual/express'
import { guardPool, withQueryTimeout } from 'punctual/postgres'

// Waiting for a connection (5 s), connecting (10 s) and each query (30 s) now have timeouts.
const pool = guardPool('notes', new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 }))

const app = express()
app.use(punctual())
app.use(express.json())

app.get('/notes', async (_request, response) => {
  const { rows } = await pool.query('select id, text from notes order by id desc limit 50')
  response.json(rows)
})

app.post('/notes', async (request, response) => {
  const text = String(request.body?.text ?? '')
  // Two seconds for all queries inside. A query that is still running then is cancelled.
  const note = await withQueryTimeout('add note', '2s', async () => {
    const { rows } = await pool.query('insert into notes (text) values ($1) returning id, text', [text])
    return rows[0]
  })
  response.status(201).json(note)
})

// Answers a timeout with 503, application/problem+json and Retry-After.
app.use(problems())

app.listen(Number(process.env.PORT ?? 3000))
