import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, test } from 'node:test'
import { readAppSettings } from './app-settings.ts'
import { buildApp } from './build-app.ts'
import { checkName } from './try/check-name.ts'

// The page and the faults need no database: the pool connects at its first query.
const app = buildApp({
  databaseUrl: 'postgres://127.0.0.1:1/none',
  adminUrl: 'http://127.0.0.1:9999',
  logLevel: 'silent',
})
after(() => app.close())

test('the page is complete, links to the configured admin server, and loads nothing from elsewhere', async () => {
  const answer = await app.inject('/')
  assert.equal(answer.statusCode, 200)
  assert.match(String(answer.headers['content-type']), /^text\/html; charset=utf-8/)
  assert.match(answer.body, /<form id="login">/)
  assert.match(answer.body, /href="http:\/\/127\.0\.0\.1:9999\/status"/)
  assert.doesNotMatch(answer.body, /\{\{adminUrl\}\}|(?:src|href)="(?:https?:)?\/\/(?!127\.0\.0\.1:9999)/)
})

test('over SQLite the page says so, and offers only what exists', async () => {
  const other = buildApp({ databaseUrl: 'sqlite:/nowhere/login.db', logLevel: 'silent' })
  try {
    const { body } = await other.inject('/')
    assert.match(body, /<body data-database="sqlite">/)
    assert.match((await app.inject('/')).body, /<body data-database="postgres">/)
    for (const url of ['/api/auth', '/before/api/auth']) assert.ok(!other.hasRoute({ method: 'POST', url }), url)
    for (const url of ['/login', '/logout']) assert.ok(other.hasRoute({ method: 'POST', url }), url)
    const offered = [...body.matchAll(/data-try="([^"?]+)/g)].map(([, path = '']) => path)
    for (const url of offered) assert.ok(other.hasRoute({ method: 'GET', url }), url)
  } finally {
    await other.close()
  }
})

test('the content security policy allows only the style and script of the page', async () => {
  const { headers, body } = await app.inject('/')
  const policy = String(headers['content-security-policy'])
  assert.match(policy, /^default-src 'none'; /)
  assert.doesNotMatch(policy, /unsafe|\*/)
  for (const element of ['style', 'script']) {
    const text = new RegExp(`<${element}>(.*?)</${element}>`, 's').exec(body)?.[1] ?? ''
    assert.ok(policy.includes(`${element}-src 'sha256-${createHash('sha256').update(text).digest('base64')}'`))
  }
  // Hashes do not cover attributes.
  assert.doesNotMatch(body, /\sstyle="|\son[a-z]+="/)
})

test('every fault that the page offers is a route of the app', async () => {
  const { body } = await app.inject('/')
  const offered = [...body.matchAll(/data-try="([^"?]+)/g)].map(([, path = '']) => path)
  assert.ok(offered.length >= 5)
  for (const url of offered) assert.ok(app.hasRoute({ method: 'GET', url }), url)
})

test('every outside fault that the page offers can be ordered', async () => {
  const { body } = await app.inject('/')
  const offered = [...body.matchAll(/data-fault='([^']+)'/g)].map(([, fault = '']) => JSON.parse(fault) as object)
  assert.ok(offered.length >= 7)
  for (const payload of offered) {
    // The order is valid, but this app has no control server.
    const answer = await app.inject({ method: 'PUT', url: '/try/faults', payload })
    assert.equal(answer.statusCode, 404, answer.body)
  }
})

test('the slow route waits as long as requested, and an invalid duration is a 400', async () => {
  const slow = await app.inject('/try/slow?ms=1')
  assert.deepEqual(slow.json(), { waited: 1, pid: process.pid })
  for (const query of ['ms=', 'ms=-1', 'ms=1e3', 'ms=soon', 'ms=1000000', 'other=1']) {
    const answer = await app.inject(`/try/slow?${query}`)
    assert.equal(answer.statusCode, 400)
    assert.match(String(answer.headers['content-type']), /^application\/problem\+json/)
  }
})

test('the spin ends after the requested time', async () => {
  const answer = await app.inject('/try/spin?ms=20')
  assert.ok(answer.json<{ turns: number }>().turns > 1)
})

test('the bad regex accepts names, and doubles its work with every letter of a near match', () => {
  assert.ok(checkName('ada lovelace'))
  const cost = (letters: number): number => {
    const start = performance.now()
    assert.equal(checkName(`${'a'.repeat(letters)}!`), false)
    return performance.now() - start
  }
  // The fastest of several, to exclude other load on this machine.
  const least = (letters: number): number => Math.min(...Array.from({ length: 5 }, () => cost(letters)))
  assert.ok(least(22) > 10 * least(12))
})

test('a new client gets a connection of their own', async () => {
  assert.equal((await app.inject('/try/new-client')).headers.connection, 'close')
})

test('the health check needs no database, and an unknown URL is a 404 problem', async () => {
  assert.deepEqual((await app.inject('/health')).json(), { status: 'ok', pid: process.pid })
  const lost = await app.inject('/nowhere?token=secret')
  assert.equal(lost.statusCode, 404)
  assert.equal(lost.json().status, 404)
  assert.ok(!lost.body.includes('secret'))
})

test('a URL in the settings must be valid', () => {
  for (const name of ['PARTNER_URL', 'FAULTS_URL']) {
    assert.throws(() => readAppSettings({ DATABASE_URL: 'postgres://x/y', [name]: 'localhost:1' }), {
      code: 'SETTING_INVALID',
      details: { name, reason: 'not-a-url' },
    })
  }
  const { partnerUrl } = readAppSettings({ DATABASE_URL: 'postgres://x/y', PARTNER_URL: 'http://127.0.0.1:4000/' })
  assert.equal(partnerUrl, 'http://127.0.0.1:4000')
})

test('missing and invalid settings are rejected by name', () => {
  assert.throws(() => readAppSettings({}), { details: { name: 'DATABASE_URL', reason: 'missing' } })
  for (const max of ['0', '-1', 'ten', '1.5']) {
    assert.throws(() => readAppSettings({ DATABASE_URL: 'postgres://x/y', DATABASE_POOL_MAX: max }), {
      details: { name: 'DATABASE_POOL_MAX', reason: 'not-a-count' },
    })
  }
})
