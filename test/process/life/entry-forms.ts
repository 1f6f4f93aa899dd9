const COMMON_JS = '{ "type": "commonjs" }'

/** A way to write an app. */
export interface EntryForm {
  readonly what: string
  readonly files: Readonly<Record<string, string>>
}

/** Each answers `GET /` with `it works`. */
export const ENTRY_FORMS: readonly EntryForm[] = [
  {
    what: 'CommonJS that listens if it is the main module',
    files: {
      'app.js': `
const http = require('node:http')
const serve = () => http.createServer((request, response) => response.end('it works')).listen(process.env.PORT)
if (require.main === module) serve()
module.exports = { serve }
`,
      'package.json': COMMON_JS,
    },
  },
  {
    what: 'an ES module that listens if import.meta.main says so',
    files: {
      'app.js': `
import http from 'node:http'
if (import.meta.main) http.createServer((request, response) => response.end('it works')).listen(process.env.PORT)
`,
    },
  },
  {
    what: 'an ES module that listens after a top-level await',
    files: {
      'app.mjs': `
import http from 'node:http'
import { setTimeout } from 'node:timers/promises'
await setTimeout(50)
http.createServer((request, response) => response.end('it works')).listen(Number(process.env.PORT), process.env.HOST)
`,
    },
  },
  {
    what: 'TypeScript that listens a while after it has been loaded',
    files: {
      'app.ts': `
import http, { type RequestListener } from 'node:http'
const serve: RequestListener = (_request, response) => { response.end('it works') }
setTimeout(() => http.createServer(serve).listen(Number(process.env.PORT)), 50)
`,
    },
  },
  {
    what: 'an ES module that never finishes loading once it listens',
    files: {
      'app.mjs': `
import http from 'node:http'
http.createServer((request, response) => response.end('it works')).listen(process.env.PORT)
await new Promise(() => setInterval(() => {}, 1000))
`,
    },
  },
  {
    what: 'a default-exported handler',
    files: { 'app.ts': `export default (_: unknown, r: { end(text: string): void }) => r.end('it works')` },
  },
  {
    what: 'module.exports = handler',
    files: { 'app.cjs': `module.exports = (request, response) => response.end('it works')` },
  },
  {
    what: 'exports.default of compiled TypeScript',
    files: {
      'app.cjs': `
Object.defineProperty(exports, '__esModule', { value: true })
exports.default = (request, response) => response.end('it works')
`,
    },
  },
  {
    what: 'an Express app, exported',
    files: {
      'app.js': `import express from 'express'\nexport default express().get('/', (_, response) => response.send('it works'))`,
    },
  },
  {
    what: 'an Express app that listens',
    files: {
      'app.js': `import express from 'express'\nexpress().get('/', (_, response) => response.send('it works')).listen(process.env.PORT)`,
    },
  },
  { what: 'an object with fetch', files: { 'app.js': `export default { fetch: () => new Response('it works') }` } },
  {
    what: 'an object whose fetch needs its this',
    files: {
      'app.js': `export default new (class { text = 'it works'; fetch() { return new Response(this.text) } })()`,
    },
  },
  {
    what: 'a Hono app',
    files: {
      'app.ts': `import { Hono } from 'hono'\nexport default new Hono().get('/', (context) => context.text('it works'))`,
    },
  },
  {
    what: 'a Koa app',
    files: {
      'app.js': `import Koa from 'koa'\nexport default new Koa().use((context) => { context.body = 'it works' })`,
    },
  },
  {
    what: 'a Fastify instance, exported',
    files: {
      'app.ts': `import fastify from 'fastify'\nconst app = fastify()\napp.get('/', async () => 'it works')\nexport default app`,
    },
  },
  {
    what: 'a Fastify instance, exported and listening',
    files: {
      'app.ts': `
import fastify from 'fastify'
export const app = fastify()
app.get('/', async () => 'it works')
await app.listen({ port: Number(process.env.PORT) })
export default app
`,
    },
  },
  {
    what: 'a Fastify instance whose listening is not awaited',
    files: {
      'app.cjs': `
const app = require('fastify')()
app.get('/', async () => 'it works')
app.listen({ port: Number(process.env.PORT) })
module.exports = app
`,
    },
  },
  {
    what: 'a cluster-aware app',
    files: {
      'app.js': `
import cluster from 'node:cluster'
import http from 'node:http'
if (cluster.isPrimary) throw new Error('this would fork')
http.createServer((request, response) => response.end(cluster.isWorker && cluster.worker.id > 0 ? 'it works' : 'no'))
  .listen(process.env.PORT)
`,
    },
  },
]
