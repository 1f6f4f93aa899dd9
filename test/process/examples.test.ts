import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startPostgres } from './database/postgres.ts'
import { request } from './support/client.ts'
import { startServer, type TestServer } from './support/server.ts'
import { until } from './support/until.ts'

const FROM_SOURCE = fileURLToPath(import.meta.resolve('./support/punctual-from-source.mjs'))

function startExample(name: string, env: Readonly<Record<string, string>>): Promise<TestServer> {
  const entry = fileURLToPath(import.meta.resolve(`../../examples/${name}`))
  return startServer({ entry, env, settings: { workers: 1, import: FROM_SOURCE } })
}

interface Service extends AsyncDisposable {
  readonly url: string
  /** Bodies of the requests so far. */
  readonly received: string[]
  /** Null: the service does not respond. */
  respond: ((url: string) => { readonly status: number; readonly body?: unknown }) | null
}

/** Another service that the example calls. */
async function startService(respond: Service['respond']): Promise<Service> {
  const server = http.createServer(async (incoming, response) => {
    service.received.push(await text(incoming))
    const answer = service.respond?.(incoming.url ?? '')
    if (answer === undefined) return
    response.writeHead(answer.status, { 'content-type': 'application/json' })
    response.end(answer.body === undefined ? undefined : JSON.stringify(answer.body))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const service: Service = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received: [],
    respond,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return service
}

function json(body: string | undefined): unknown {
  return JSON.parse(body ?? 'null')
}

describe('the examples', { concurrency: 2 }, () => {
  it('http.ts answers with a price, and without one if the price service does not respond', async () => {
    await using prices = await startService(() => ({ status: 200, body: { price: 4.5 } }))
    await using server = await startExample('http.ts', { PRICES_URL: prices.url })
    const { msLeft, ...answer } = json((await request(`${server.url}/tea`)).body) as { msLeft: number }
    assert.deepEqual(answer, { article: 'tea', price: 4.5, degraded: false })
    assert.ok(msLeft > 0)
    prices.respond = null
    const late = json((await request(`${server.url}/tea`)).body) as { price: number | null; degraded: boolean }
    assert.deepEqual([late.price, late.degraded], [null, true])
  })

  it('express-postgres.js adds and lists notes, and answers 503 while the table is locked', async () => {
    const postgres = await startPostgres()
    try {
      const outsider = await postgres.outsider()
      await outsider.query('create table notes (id serial primary key, text text not null)')
      const url = `postgres://${postgres.user}:${postgres.password}@127.0.0.1:${postgres.port}/postgres`
      await using server = await startExample('express-postgres.js', { DATABASE_URL: url })
      const add = (note: string): Promise<Response> =>
        fetch(`${server.url}/notes`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ text: note }),
        })
      const added = await add('first')
      assert.deepEqual([added.status, await added.json()], [201, { id: 1, text: 'first' }])
      await outsider.query('begin; lock table notes')
      const locked = await add('second')
      assert.equal(locked.status, 503)
      assert.ok(locked.headers.has('retry-after'))
      assert.equal(((await locked.json()) as { type: string }).type, 'urn:punctual:error:wait-timeout')
      await until('the insert to be cancelled on the server', async () => {
        const { rows } = await outsider.query('select from pg_locks where not granted')
        return rows.length === 0
      })
      await outsider.query('rollback')
      assert.deepEqual(json((await request(`${server.url}/notes`)).body), [{ id: 1, text: 'first' }])
      await outsider.end()
    } finally {
      await postgres.stop()
    }
  })

  it('fastify-queue.ts sends the mail after the response, and retries it if the mail service fails', async () => {
    await using mails = await startService(() => ({ status: 500 }))
    await using server = await startExample('fastify-queue.ts', { MAIL_URL: mails.url })
    const answer = await fetch(`${server.url}/signups`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: 'ada@example.org' }),
    })
    assert.deepEqual([answer.status, await answer.json()], [202, { mail: 'persisted' }])
    await until('the first attempt', () => mails.received.length > 0)
    const failed = mails.received.length
    mails.respond = () => ({ status: 200 })
    await until('another attempt', () => mails.received.length > failed)
    const sent = mails.received.map((body) => json(body) as { id: string; to: string }[])
    for (const [mail] of sent) assert.deepEqual([mail?.to, mail?.id], ['ada@example.org', sent[0]?.[0]?.id])
  })

  it('hono-cache.ts loads a rate once, serves it while the source is down, and forgets it on DELETE', async () => {
    await using source = await startService((url) =>
      url === '/EUR' ? { status: 200, body: { currency: 'EUR', rate: 1.1 } } : { status: 404 },
    )
    await using server = await startExample('hono-cache.ts', { RATES_URL: source.url })
    const get = async (currency: string): Promise<unknown> => {
      const { status, body } = await request(`${server.url}/rates/${currency}`)
      return status === 200 ? json(body) : status
    }
    const rate = { currency: 'EUR', rate: 1.1 }
    assert.deepEqual(await get('EUR'), rate)
    source.respond = () => ({ status: 500 })
    assert.deepEqual(await get('EUR'), rate)
    assert.equal(source.received.length, 1)
    source.respond = () => ({ status: 404 })
    await fetch(`${server.url}/rates/EUR`, { method: 'DELETE' })
    assert.equal(await get('EUR'), 404)
  })
})
