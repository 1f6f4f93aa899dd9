import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { request } from '../../process/support/client.ts'
import { startServer } from '../../process/support/server.ts'

const SETTINGS = { workers: 1, bootTimeout: '40s' }

/** Each is initialised after 300 ms, and answers `initialised` from then on. */
const LISTENING: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'an Express app that is exported, and listens when it is connected': {
    'app.cjs': `
const app = require('express')()
let text = 'not initialised'
app.get('/', (request, response) => response.send(text))
const connect = () => new Promise((resolve) => setTimeout(resolve, 300))
connect().then(() => { text = 'initialised' }).then(() => app.listen(process.env.PORT, process.env.HOST))
module.exports = app
`,
  },
  'a Fastify instance that is exported, and listens when it is connected': {
    'app.mjs': `
import Fastify from 'fastify'
const app = Fastify()
let text = 'not initialised'
app.get('/', async () => text)
setTimeout(async () => {
  text = 'initialised'
  app.get('/later', async () => text)
  await app.listen({ port: Number(process.env.PORT), host: process.env.HOST })
}, 300)
export default app
`,
  },
  'a handler that is exported, and listens in another module': {
    'app.mjs': `
import { start } from './start.mjs'
const state = { text: 'not initialised' }
const handler = (request, response) => response.end(state.text)
start(handler, state)
export default handler
`,
    'start.mjs': `
import http from 'node:http'
export const start = (handler, state) => setTimeout(() => {
  state.text = 'initialised'
  http.createServer(handler).listen(process.env.PORT, process.env.HOST)
}, 300)
`,
  },
  'a factory': {
    'app.mjs': `
import http from 'node:http'
export default function createServer() { return http.createServer((request, response) => response.end('initialised')) }
setTimeout(() => createServer().listen(process.env.PORT, process.env.HOST), 300)
`,
  },
  'a class': {
    'app.mjs': `
import http from 'node:http'
export default class App {
  start() { http.createServer((request, response) => response.end('initialised')).listen(process.env.PORT, process.env.HOST) }
}
setTimeout(() => new App().start(), 300)
`,
  },
  'a handler that is exported, and listens by code that is not read': {
    'app.mjs': `
import http from 'node:http'
const state = { text: 'not initialised' }
const handler = (request, response) => response.end(state.text)
const name = 'listen'
setTimeout(() => {
  state.text = 'initialised'
  http.createServer(handler)[name](process.env.PORT, process.env.HOST, () => console.log('app: listens'))
}, 300)
export default handler
`,
  },
}

describe('an app that exports something and listens later', () => {
  for (const [what, files] of Object.entries(LISTENING)) {
    it(`serves once, when it listens: ${what}`, async () => {
      await using server = await startServer({ files, settings: SETTINGS })
      if ('app.mjs' in files && files['app.mjs'].includes('app: listens')) await server.log(/app: listens/)
      assert.equal((await request(server.url)).body, 'initialised')
      assert.equal((await server.worker()).id, 1)
    })
  }
})

describe('an app that only exports something', () => {
  it('is served although its code listens elsewhere, and although a timer keeps it alive', async () => {
    await using server = await startServer({
      files: {
        'app.mjs': `
import http from 'node:http'
setInterval(() => {}, 1000)
http.createServer((request, response) => response.end('private')).listen(0, '127.0.0.1')
export const handler = (request, response) => response.end('exported')
if (process.env.NODE_ENV !== 'production') { http.createServer(handler).listen(3000, () => { console.log('dev') }) }
export default handler
`,
      },
      settings: SETTINGS,
      env: { NODE_ENV: 'production' },
    })
    assert.equal((await request(server.url)).body, 'exported')
  })

  it('is served when its process would end without having listened', async () => {
    await using server = await startServer({
      files: {
        'app.mjs': `
import http from 'node:http'
const handler = (request, response) => response.end('exported')
export const start = () => http.createServer(handler).listen(3000)
export default handler
`,
      },
      settings: SETTINGS,
    })
    assert.equal((await request(server.url)).body, 'exported')
  })

  it('is served after half of bootTimeout when it has not listened under a condition that nothing explains', async () => {
    await using server = await startServer({
      files: {
        'app.mjs': `
import http from 'node:http'
setInterval(() => {}, 1000)
const handler = (request, response) => response.end('exported')
if (globalThis.isStandalone) http.createServer(handler).listen(3000)
export default handler
`,
      },
      settings: { ...SETTINGS, bootTimeout: '10s' },
    })
    await server.log('export-served')
    assert.equal((await request(server.url)).body, 'exported')
  })

  it('does not boot if it is a Fastify plugin, and says what it is', async () => {
    await using server = await startServer({
      files: { 'app.cjs': "module.exports = async function (fastify, opts) { fastify.get('/', async () => 'x') }" },
      settings: SETTINGS,
      ready: false,
    })
    assert.equal((await server.exit).code, 3)
    assert.match(server.output, /default export is a plugin/)
  })

  it('with `fetch`, gets the request and response of Node as its environment, and answers 500 to its errors', async () => {
    await using server = await startServer({
      files: {
        'app.mjs': `
import { Hono } from 'hono'
const app = new Hono()
app.get('/', (context) => context.text(context.env.incoming.socket.remoteAddress + ' ' + context.env.outgoing.statusCode))
export default { fetch: (request, env) => new URL(request.url).pathname === '/throw' ? (() => { throw new Error('planted') })() : app.fetch(request, env) }
`,
      },
      settings: SETTINGS,
    })
    assert.equal((await request(server.url)).body, '127.0.0.1 200')
    assert.equal((await request(`${server.url}/throw`)).status, 500)
    assert.equal((await request(server.url)).status, 200)
  })
})
