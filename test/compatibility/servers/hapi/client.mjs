import assert from 'node:assert/strict'

const [, , url] = process.argv
const echo = await fetch(`${url}/echo`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: '{ "text": "milk" }',
})
assert.deepEqual(await echo.json(), { text: 'milk' })
assert.equal((await fetch(`${url}/nothing`)).status, 404)
