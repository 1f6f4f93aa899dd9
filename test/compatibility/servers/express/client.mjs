import assert from 'node:assert/strict'

const [, , url] = process.argv
const put = await fetch(`${url}/notes/7`, {
  method: 'PUT',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ text: 'milk' }),
})
assert.deepEqual(await put.json(), { id: '7', text: 'milk' })
const large = await fetch(`${url}/large`)
assert.equal(large.headers.get('content-encoding'), 'gzip')
assert.equal((await large.text()).length, 300_000)
const fails = await fetch(`${url}/fails`)
assert.deepEqual([fails.status, await fails.json()], [500, { error: 'on purpose' }])
