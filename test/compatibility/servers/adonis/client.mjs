import assert from 'node:assert/strict'

const [, , url] = process.argv
assert.deepEqual(await (await fetch(`${url}/greetings/you`)).json(), { greeting: 'hello you' })
const echo = await fetch(`${url}/echo`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: '{ "text": "milk" }',
})
assert.deepEqual(await echo.json(), { text: 'milk' })
