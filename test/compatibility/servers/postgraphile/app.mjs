import { createServer } from 'node:http'
import pg from 'pg'
import { postgraphile } from 'postgraphile'
import { makePgService } from 'postgraphile/adaptors/pg'
import { grafserv } from 'postgraphile/grafserv/node'
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber'

const connectionString = process.env.DATABASE_URL
const client = new pg.Client({ connectionString })
await client.connect()
await client.query(`
  create schema if not exists compat_graphile;
  create table if not exists compat_graphile.notes (id serial primary key, text text not null);
  create index if not exists notes_text on compat_graphile.notes (text);
`)
await client.end()
const app = postgraphile({
  extends: [PostGraphileAmberPreset],
  pgServices: [makePgService({ connectionString, schemas: ['compat_graphile'] })],
  grafserv: { watch: false },
})
const http = createServer()
await app.createServ(grafserv).addTo(http)
const [serve] = http.listeners('request')
http.removeAllListeners('request')
http.on('request', (request, response) => {
  if (request.url === '/') return response.end('hello')
  if (request.url === '/spin') for (const end = Date.now() + 20_000; Date.now() < end; );
  serve(request, response)
})
http.listen(process.env.PORT)
process.on('SIGTERM', () => {
  http.close(async () => {
    await app.release()
    console.log('clean-up done')
    process.exit()
  })
})
