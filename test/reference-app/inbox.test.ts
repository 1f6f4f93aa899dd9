import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import { freePort } from '../process/support/free-port.ts'
import { buildApp } from './build-app.ts'
import { type Partner, startPartner } from './inbox/partner.ts'
import type { Problem } from './problem.ts'

const PATHS = { before: '/before/discussions', after: '/discussions' } as const
const THREAD = 4
const ISSUE = 5
const NOTHING = 100_000

let partner: Partner
let app: FastifyInstance
let base: string

before(async () => {
  partner = await startPartner()
  // The inbox needs no database, and a pool connects at its first query.
  app = buildApp({ databaseUrl: 'postgres://127.0.0.1:1/none', partnerUrl: partner.url, logLevel: 'silent' })
  base = await app.listen({ host: '127.0.0.1', port: 0 })
})
afterEach(() => {
  partner.mood = 'well'
})
after(async () => {
  // This client opens connections in advance; Node would wait for one that never carried a request.
  app?.server.closeAllConnections()
  await app?.close()
  await partner?.close()
})

/** Reads the body: unread, it would keep its connection. */
async function ask(path: string, id: number | string, source?: string): Promise<Response> {
  const query = source === undefined ? '' : `?source=${source}`
  const answer = await fetch(`${base}${path}/${id}${query}`, { signal: AbortSignal.timeout(60_000) })
  const { status, headers } = answer
  return new Response(await answer.text(), { status, headers })
}

async function sourceOf(answer: Response): Promise<string> {
  assert.equal(answer.status, 200)
  const body = (await answer.json()) as { source: string; messages: unknown[] }
  assert.ok(body.messages.length > 0)
  return body.source
}

/** Counts the calls of each endpoint during `work`. */
async function asked(work: () => Promise<unknown>): Promise<{ thread: number; issue: number }> {
  const { thread, issue } = partner.asked
  await work()
  return { thread: partner.asked.thread - thread, issue: partner.asked.issue - issue }
}

for (const [name, path] of Object.entries(PATHS)) {
  test(`${name}: a discussion with the right source is found at once`, async () => {
    assert.equal(await sourceOf(await ask(path, THREAD, 'messaging')), 'messaging')
    assert.equal(await sourceOf(await ask(path, ISSUE, 'issue')), 'issue')
    assert.equal(await sourceOf(await ask(path, THREAD)), 'messaging')
  })

  test(`${name}: any response of the partner except 422 is passed on, and the other endpoint is not called`, async () => {
    const counts = await asked(async () => {
      assert.equal((await ask(path, NOTHING, 'issue')).status, 404)
      partner.mood = 'fail'
      const answer = await ask(path, ISSUE + 2, 'issue')
      assert.equal(answer.status, 500)
      assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/)
    })
    assert.deepEqual(counts, { thread: 0, issue: 2 })
  })

  test(`${name}: an invalid id or source is a 400, and the partner is not called`, async () => {
    const counts = await asked(async () => {
      for (const [id, source] of [
        ['0', 'issue'],
        ['4%2F..', 'issue'],
        ['one', 'messaging'],
        [4, 'mail'],
      ] as const) {
        assert.equal((await ask(path, id, source)).status, 400, `${id} ${source}`)
      }
    })
    assert.deepEqual(counts, { thread: 0, issue: 0 })
  })

  test(`${name}: a slow partner is waited for`, async () => {
    partner.mood = 'slow'
    assert.equal(await sourceOf(await ask(path, THREAD, 'messaging')), 'messaging')
  })
}

test('before: a caller that guessed wrong gets 422', async () => {
  assert.equal((await ask(PATHS.before, ISSUE, 'messaging')).status, 422)
})

test('after: a caller that guessed wrong gets the discussion and its source, and the next call goes there first', async () => {
  const id = 1_001
  const first = await asked(async () => {
    assert.equal(await sourceOf(await ask(PATHS.after, id, 'messaging')), 'issue')
  })
  assert.deepEqual(first, { thread: 1, issue: 1 })
  const second = await asked(async () => {
    assert.equal(await sourceOf(await ask(PATHS.after, id, 'messaging')), 'issue')
  })
  assert.deepEqual(second, { thread: 0, issue: 1 })
})

test('after: a partner that hangs causes a 503; before waits for it', async () => {
  partner.mood = 'hang'
  let settled = false
  const leave = new AbortController()
  const early = fetch(`${base}${PATHS.before}/${THREAD}`, { signal: leave.signal })
    .catch(() => {})
    .finally(() => {
      settled = true
    })
  const answer = await ask(PATHS.after, THREAD, 'messaging')
  assert.equal(answer.status, 503)
  assert.equal(answer.headers.get('retry-after'), '1')
  assert.equal(((await answer.json()) as Problem).type, 'urn:punctual:error:wait-timeout')
  assert.equal(settled, false)
  leave.abort()
  await early
})

test('an unreachable partner is a 502, a missing one a 503', async () => {
  for (const [partnerUrl, status] of [
    [`http://127.0.0.1:${await freePort()}`, 502],
    [undefined, 503],
  ] as const) {
    const other = buildApp({
      databaseUrl: 'postgres://127.0.0.1:1/none',
      logLevel: 'silent',
      ...(partnerUrl === undefined ? {} : { partnerUrl }),
    })
    try {
      for (const path of Object.values(PATHS)) {
        const answer = await other.inject(`${path}/${THREAD}`)
        assert.equal(answer.statusCode, status)
        assert.match(String(answer.headers['content-type']), /^application\/problem\+json/)
      }
    } finally {
      await other.close()
    }
  }
})
