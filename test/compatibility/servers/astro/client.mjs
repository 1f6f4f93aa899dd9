import assert from 'node:assert/strict'

const [, , url] = process.argv
assert.match(await (await fetch(url)).text(), /hello from astro/)
const note = await fetch(`${url}/notes`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: '{ "text": "milk" }',
})
assert.deepEqual([note.status, await note.json()], [201, { got: { text: 'milk' } }])
