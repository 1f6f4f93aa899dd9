import assert from 'node:assert/strict'

const [, , url] = process.argv
let cookie = ''
for (let i = 1; i <= 10; i++) {
  // A new connection each time, so that both workers see the session.
  const response = await fetch(`${url}/visits`, { method: 'POST', headers: { cookie, connection: 'close' } })
  cookie = response.headers.get('set-cookie')?.split(';')[0] ?? cookie
  assert.deepEqual(await response.json(), { visits: i })
}
